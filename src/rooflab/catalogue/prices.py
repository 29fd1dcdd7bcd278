"""What a device costs per hour: dated quotes of providers, or the cost of owning it where nobody rents it out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from rooflab.catalogue._data import cite, load, squash
from rooflab.catalogue.devices import device, device_key
from rooflab.errors import InputError, unknown

__all__ = ["Price", "list_prices", "price"]

# Owner's cost: straight-line depreciation, and energy at full power through a data centre.  A documented assumption,
# not a quote: staff, space, network and interest are left out.
OWNED_YEARS = 4.0
OWNED_USD_PER_KWH = 0.10
OWNED_PUE = 1.2
HOURS_PER_YEAR = 8766.0
TIERS = ("on-demand", "spot", "serverless")


@dataclass(frozen=True, slots=True)
class Price:
    """USD for one device for one hour, who asks it, when that was read, and where.  `assumed` marks an owner's cost."""

    usd_per_device_hour: float
    provider: str
    date: str
    source: str
    assumed: bool = False


def _quotes(key: str, tier: str) -> list[dict[str, Any]]:
    return [quote for quote in load("prices")["rent"] if quote["device"] == key and quote["tier"] == tier]


@cache
def price(
    device_label: str, provider: str | None = None, tier: str = "on-demand", where: str = "hardware.price"
) -> Price | None:
    """The price of a device by a documented rule, None when there is neither a quote nor a list price.

    With `provider`: its newest quote of that tier.  Without: the median over providers of each one's newest quote,
    dated ones if there are any.  No quote at all: what owning it costs, list price / 4 years + TDP x PUE 1.2 x
    0.10 USD/kWh, marked `assumed`.  Raises InputError for unknown devices, tiers, or a provider without a quote.
    """
    key = device_key(device_label, where)
    if tier not in TIERS:
        raise unknown("price tier", tier, TIERS, where)
    quotes = _quotes(key, tier)
    if provider is not None:
        return _from_provider(key, provider, quotes, where)
    if not quotes:
        return _owned(key) if tier == "on-demand" else None
    newest = _newest_by_provider(quotes)
    dated = {
        name: quote for name, quote in newest.items() if quote["date"].startswith("20") and len(quote["date"]) == 10
    }
    chosen = list((dated or newest).values())
    return Price(
        usd_per_device_hour=median(quote["usd_per_device_hour"] for quote in chosen),
        provider=chosen[0]["provider"] if len(chosen) == 1 else f"median of {len(chosen)} providers",
        date=max(quote["date"] for quote in chosen),
        source="; ".join(sorted({cite(load("prices")["sources"], quote["source"]) for quote in chosen})),
    )


def _newest_by_provider(quotes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for quote in sorted(quotes, key=lambda q: ("" if q["date"] == "undated" else q["date"], q["devices"])):
        newest[quote["provider"]] = quote
    return newest


def _from_provider(key: str, provider: str, quotes: list[dict[str, Any]], where: str) -> Price:
    newest = {squash(name): quote for name, quote in _newest_by_provider(quotes).items()}
    if not newest:
        raise InputError(f"no provider's price for {key!r} is known; give one in USD per device-hour", where)
    quote = newest.get(squash(provider))
    if quote is None:
        raise unknown(f"price for {key!r} from a provider", provider, [q["provider"] for q in newest.values()], where)
    return Price(
        quote["usd_per_device_hour"], quote["provider"], quote["date"], cite(load("prices")["sources"], quote["source"])
    )


def _owned(key: str) -> Price | None:
    for entry in load("prices")["buy"]:
        if entry["device"] == key:
            hourly = (
                entry["usd"] / (OWNED_YEARS * HOURS_PER_YEAR) + device(key).tdp_w / 1000 * OWNED_PUE * OWNED_USD_PER_KWH
            )
            why = f"owner's cost: {entry['usd']} USD over {OWNED_YEARS:.0f} years and energy at full power"
            return Price(
                round(hourly, 4),
                "owner",
                "",
                f"{why}; {cite(load('prices')['sources'], entry['source'])} (assumed)",
                assumed=True,
            )
    return None


def list_prices() -> list[dict[str, Any]]:
    """Every quote: device, provider, USD per device-hour, tier, date, instance and source; then owner's costs of the
    rest."""
    data = load("prices")
    listing = [{**quote, "source": cite(data["sources"], quote["source"]), "assumed": False} for quote in data["rent"]]
    rented = {quote["device"] for quote in data["rent"]}
    for entry in data["buy"]:
        owned = _owned(entry["device"])
        if entry["device"] in rented or owned is None:
            continue
        listing.append(
            {
                "device": entry["device"],
                "provider": owned.provider,
                "usd_per_device_hour": owned.usd_per_device_hour,
                "tier": "owned",
                "date": owned.date,
                "instance": "",
                "devices": 1,
                "source": owned.source,
                "assumed": True,
            }
        )
    return listing
