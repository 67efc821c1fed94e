"""docs/drivers/<name>.md."""

import re
from collections.abc import Iterator

import drivers
from drivers.asking import AskingOptions
from drivers.driver import Driver, DriverOptions, LineSetting, Metric, Settable
from gateway.config import load, written
from scripts.handbook import options
from scripts.handbook.configuration import inner_tables
from scripts.handbook.markdown import anchor, code, prose, table

NAMES = tuple(drivers.DRIVERS)

_EVIDENCE = {
    "checksum": "a good frame has a checksum that fits",
    "form": "a good frame has a form that hardly comes about by chance",
    "guess": "a good frame may come about by chance: look at the values",
}


def page(name: str) -> str:
    driver = drivers.find(name)
    return "\n".join(
        [
            f"# {code(name)}: {prose(driver.summary).removesuffix('.')}\n",
            _beginning(name),
            f"Made by `scripts/docs` of the driver. Its {_readme(name)}.\n",
            "## A device\n",
            f"```toml\n{drivers.sample(name).strip()}\n```\n",
            *_simulation(name, driver),
            "## Options\n",
            *_options(name, driver),
            "## Metrics\n",
            *_metrics(name, driver),
            "## How `sallyport sniff` recognises it\n",
            _clues(driver),
        ]
    )


def _beginning(name: str) -> str:
    """The first paragraph of the README: which instruments these are."""
    _, paragraph, *_ = (drivers.folder(name) / "README.md").read_text().split("\n\n")
    return re.sub(r"\]\((?!https?://)", f"](../../drivers/{name}/", paragraph) + "\n"


def _readme(name: str) -> str:
    file = f"../../drivers/{name}/README.md"
    headings = re.findall(r"^## (.*)$", (drivers.folder(name) / "README.md").read_text(), re.MULTILINE)
    chapters = " · ".join(f"[{heading}]({file}#{anchor(heading)})" for heading in headings)
    return f"[README]({file}) says more" + (f": {chapters}" if chapters else "")


def _options(name: str, driver: Driver) -> Iterator[str]:
    general = AskingOptions if issubclass(driver.options, AskingOptions) else DriverOptions
    common, own = options.fields(general), options.fields(driver.options)
    yield (
        f"Besides those of [every device](../configuration.md#{anchor('[devices.<name>]')})"
        + (", and of every device that is asked" if general is AskingOptions else "")
        + ". Another one opens the port anew at a reload.\n"
    )
    others = [
        f"`{key} = {written(field)}`"
        for key, field in own.items()
        if key in common and written(field) != written(common[key])
    ]
    if others:
        yield f"Of those it has other defaults: {', '.join(others)}.\n"
    if own.keys() == common.keys():
        yield "It has none of its own.\n"
        return
    yield options.rows(driver.options, name, but=frozenset(common))
    yield from inner_tables(driver.options, name)


def _metrics(name: str, driver: Driver) -> Iterator[str]:
    """Those that it always has, or else those of its sample."""
    known = driver.metrics
    if not known:
        sample, *_ = load(drivers.folder(name) / "sample.toml").devices.values()
        known = driver.describe(sample)
        if not known:
            yield "What they are called, and what they mean, is said by the instrument or by the options.\n"
            return
        yield "They depend on the options; those of the device above are:\n"
    rows = [
        [
            code(metric),
            prose(about.label),
            code(about.unit) or "—",
            code(about.device_class) or "—",
            code(about.state_class) or "—",
            _settable(about),
        ]
        for metric, about in known.items()
    ]
    yield table(["metric", "is", "unit", "device class", "state class", "can be set to"], rows)
    yield (
        (
            "`*` stands for a part of a name that the instrument chooses. "
            if any("*" in each for each in known)
            else ""
        )
        + "Units are [UCUM](https://ucum.org) codes; classes are those of Home Assistant"
        + ("." if driver.complete else "; an instrument may say more than is listed.")
        + "\n"
    )


def _settable(about: Metric) -> str:
    match about.settable:
        case None:
            return ""
        case Settable(choices=choices) if choices:
            return ", ".join(
                code(f'"{each}"' if isinstance(each, str) else str(each).lower()) for each in choices
            )
        case Settable(minimum=minimum, maximum=maximum):
            bounds = [
                *([f"{minimum:g} or more"] if minimum is not None else []),
                *([f"{maximum:g} or less"] if maximum is not None else []),
            ]
            return "a number" + (f", {' and '.join(bounds)}" if bounds else "")


def _simulation(name: str, driver: Driver) -> Iterator[str]:
    if driver.simulation is None:
        return
    yield "Without the instrument, a simulated one on a pseudo-terminal, with the section that reads it:\n"
    yield f"```console\n$ sallyport simulate {name} /tmp/{name}\n```\n"


def _clues(driver: Driver) -> str:
    clues = driver.clues
    usual = LineSetting(*(driver.options.model_fields[key].default for key in LineSetting._fields))
    tried = ", ".join(dict.fromkeys(map(str, [usual, *clues.lines])))
    if clues.heard:
        how = f"By listening, at {tried}; {_EVIDENCE[clues.evidence]}."
    elif clues.questions:
        how = f"With `--ask` only, at {tried}: it says nothing by itself; {_EVIDENCE[clues.evidence]}."
    else:
        how = "Not at all: it depends on the options what it is to understand."
    if clues.heard and clues.questions:
        how += " With `--ask` it is asked, too."
    return how + "\n"
