"""Files of results that tests write by hand, so that those who read them believe them."""

from sslbench.store.checksum import KEY, sealed
from sslbench.store.entries import digest


def resealed(value: dict) -> dict:
    """``value``, whatever it was before, with the seal that it needs now."""
    return sealed({key: item for key, item in value.items() if key != KEY})


def run_of(**found: object) -> dict:
    """A run.json that matches its own digest."""
    stated = {"settings": {}, "code": "c0de", "data": {}}
    stated |= {key: found[key] for key in stated if key in found}
    return found | stated | {"digest": digest(**stated)}
