"""What pip-audit has found, in words: its JSON in, lines out. Status 1 if something is vulnerable."""

import json
import sys


def main(lock: str, found: str) -> int:
    try:
        packages = json.loads(found)["dependencies"]
    except (ValueError, KeyError):  # it gave up
        packages = []
    unknown = [each["name"] for each in packages if "skip_reason" in each]
    asked = len(packages) - len(unknown)
    flaws = [
        f"{each['name']} {each['version']}: {flaw['id']}, {_way_out(flaw['fix_versions'])}"
        for each in packages
        for flaw in each.get("vulns", ())
    ]
    for flaw in flaws:
        print(f"{lock}: VULNERABLE: {flaw}")
    if not asked:
        print(f"{lock}: NOT CHECKED: no service that knows advisories can be reached")
    else:
        print(f"{lock}: {asked} packages checked, {len(flaws)} known flaws")
        if unknown:
            print(f"{lock}: NOT CHECKED, as nobody knows them there: {', '.join(unknown)}")
    return 1 if flaws else 0


def _way_out(versions: list[str]) -> str:
    return f"mended in {', '.join(versions)}: scripts/lock" if versions else "not mended yet"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.read()))
