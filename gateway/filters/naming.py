"""Filters of names: rename, keep, drop."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field, field_validator

from gateway.errors import Refused
from gateway.filters.filter import Filter, FilterOptions, Globs, Names, Values
from gateway.model import Value

_Name = Annotated[str, Field(min_length=1)]


class Rename(FilterOptions):
    rename: Mapping[str, _Name] = Field(
        min_length=1, description='Gives metrics other names: { t = "temperature", h = "humidity" }.'
    )

    @field_validator("rename")
    @classmethod
    def _distinct(cls, names: Mapping[str, str]) -> Mapping[str, str]:
        if len(set(names.values())) < len(names):
            raise ValueError("must give each metric a name of its own")
        return names

    def filter(self) -> Filter:
        return Renaming(self.rename)

    def before(self, metric: str, value: Value) -> str:  # noqa: ARG002
        for old, new in self.rename.items():
            if new == metric:
                return old
        if metric in self.rename:
            raise Refused(f"{metric} cannot be set: it is called {self.rename[metric]}")
        return metric


class Keep(FilterOptions):
    keep: Globs = Field(description="Lets only these metrics pass: names, with * and ? as wildcards.")

    def filter(self) -> Filter:
        return Choice(Names(self.keep), keep=True)


class Drop(FilterOptions):
    drop: Globs = Field(description="Lets all metrics pass but these: names, with * and ? as wildcards.")

    def filter(self) -> Filter:
        return Choice(Names(self.drop), keep=False)


class Renaming(Filter):
    """A metric that has the new name already gives way, and counts as withheld."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names

    def take(self, values: Values, now: float) -> Values:  # noqa: ARG002
        names = self._names
        taken = {names[name] for name in values if name in names}
        renamed = {
            names.get(name, name): value
            for name, value in values.items()
            if name in names or name not in taken
        }
        self.withheld += len(values) - len(renamed)
        return renamed


class Choice(Filter):
    def __init__(self, names: Names, *, keep: bool) -> None:
        super().__init__()
        self._names = names
        self._keep = keep

    def take(self, values: Values, now: float) -> Values:  # noqa: ARG002
        kept = {name: value for name, value in values.items() if (name in self._names) is self._keep}
        self.withheld += len(values) - len(kept)
        return kept


def names_behind(filters: Sequence[FilterOptions], names: Iterable[str]) -> Sequence[str]:
    """What metrics of these names are called when they have passed the filters; `*` stands for any characters."""
    return [*origins_behind(filters, names)]


def origins_behind(filters: Sequence[FilterOptions], names: Iterable[str]) -> Mapping[str, str]:
    """For each name behind the filters, the one of `names` that it was; `*` stands for any characters."""
    left = {name: name for name in names}
    for each in filters:
        match each:
            case Rename():
                renamed = {new: origin(left, old) for old, new in each.rename.items() if old in Names(left)}
                left = {name: was for name, was in left.items() if name not in each.rename} | renamed
            case Keep():
                kept = Names(each.keep)
                known = Names(left)
                meant = {name: origin(left, name) for name in each.keep if name in known}  # a wildcard's, too
                left = {name: was for name, was in left.items() if name in kept} | meant
            case Drop():
                left = {name: was for name, was in left.items() if name not in Names(each.drop)}
    return left


def name_before(filters: Sequence[FilterOptions], name: str) -> str | None:
    """What a metric was called that has this name behind the filters; None: they let none of this name pass."""
    for each in reversed(filters):
        match each:
            case Rename():
                olds = [old for old, new in each.rename.items() if new == name]
                if not olds and name in each.rename:
                    return None
                name = olds[0] if olds else name
            case Keep() if name not in Names(each.keep):
                return None
            case Drop() if name in Names(each.drop):
                return None
    return name


def origin(origins: Mapping[str, str], name: str) -> str:
    """Of a name that is among these, or that one of them with a wildcard stands for. Raises: KeyError, if none does."""
    if name in origins:
        return origins[name]
    for each, was in origins.items():
        if name in Names([each]):
            return was
    raise KeyError(name)
