"""Carbon intensity of electricity by region, and power usage effectiveness of data centres."""

from __future__ import annotations

from functools import cache
from typing import Any

from rooflab import units
from rooflab.catalogue._data import cite, load, squash
from rooflab.errors import InputError, unknown

__all__ = ["DEFAULT_PUE", "DEFAULT_REGION", "grid", "list_grid", "list_pue", "pue"]

DEFAULT_REGION = "WORLD"
# A hyperscaler's fleet: the middle of the reported 1.08 (Meta) to 1.18 (Microsoft), see list_pue().
DEFAULT_PUE = 1.12


@cache
def _index() -> dict[str, dict[str, Any]]:
    rows = load("grid")["grid"]
    index: dict[str, dict[str, Any]] = {}
    for entry in rows:
        index.setdefault(squash(entry["region"]), entry)
    for entry in rows:
        index.setdefault(squash(entry["name"]), entry)
        if entry["region"].startswith("gcp:"):
            index.setdefault(squash(entry["region"].removeprefix("gcp:")), entry)
    for short, region in (
        ("us", "USA"),
        ("usa", "USA"),
        ("uk", "GBR"),
        ("china", "CHN"),
        ("world average", "WORLD"),
        ("global", "WORLD"),
    ):
        index.setdefault(squash(short), index[squash(region)])
    for entry in rows:
        index.setdefault(squash(entry["name"].split(",")[0]), entry)
    return index


@cache
def grid(region: str = DEFAULT_REGION, where: str = "hardware.grid") -> tuple[float, str]:
    """Grams of CO2-equivalent per kWh in `region` and the source; the default is the world average.

    Regions: ISO country codes and names ("FRA", "France"), states ("US-CA", "California"), provinces, bidding zones,
    Google Cloud regions ("us-central1").  Raises InputError with the nearest names.
    """
    entry = _index().get(squash(region))
    if entry is None:
        rows = load("grid")["grid"]
        names = [e["name"] for e in rows if "," not in e["name"]]
        raise unknown("grid region", region, [*names, *(e["region"] for e in rows)], where)
    year = f", {entry['year']}" if entry["year"] else ""
    return float(entry["gco2e_per_kwh"]), f"{entry['name']}{year}: {cite(load('grid')['sources'], entry['source'])}"


def pue(value: object = None, where: str = "hardware.pue") -> tuple[float, str]:
    """Power usage effectiveness (>= 1) and its source, from a number or the name of a site; None is a typical
    hyperscaler's."""
    if value is None:
        return DEFAULT_PUE, "typical hyperscaler: middle of the fleets that report, 1.08 to 1.18 (assumed)"
    if isinstance(value, str) and not value.strip()[:1].isdigit():
        for entry in load("pue")["pue"]:
            if squash(value) in {squash(entry["site"]), squash(entry["name"])}:
                return float(
                    entry["pue"]
                ), f"{entry['name']}, {entry['year']}: {cite(load('pue')['sources'], entry['source'])}"
        raise unknown("site with a PUE", value, [entry["site"] for entry in load("pue")["pue"]], where)
    ratio = units.parse(value, "fraction", where)
    if not 1.0 <= ratio <= 5.0:
        raise InputError(f"{value!r} is not a PUE: facility power over machine power lies between 1 and 5", where)
    return ratio, "given"


def list_grid() -> list[dict[str, Any]]:
    """Every region: code, name, level, gCO2e/kWh, year and source."""
    data = load("grid")
    return [{**entry, "source": cite(data["sources"], entry["source"])} for entry in data["grid"]]


def list_pue() -> list[dict[str, Any]]:
    """Every site: name, PUE, year and source."""
    data = load("pue")
    return [{**entry, "source": cite(data["sources"], entry["source"])} for entry in data["pue"]]
