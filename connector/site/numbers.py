"""Numbers as the site writes them: what agents type becomes E.164 or national (`numbers` of the settings)."""

from collections.abc import Callable, Iterator

import phonenumbers

from connector.settings_calls import matches
from connector.settings_site import NumberFormat, NumberSettings
from connector.telephony.pbx import Refused


def writer(settings: NumberSettings) -> Callable[[str], str]:
    """Return what writes a checked number (digits, * #, + in front) in the site's way.

    It raises Refused for one that cannot be a telephone number. Internal numbers, codes with * or #,
    emergency and other short numbers stay as they are.
    """
    if not settings.region:
        return _as_typed

    def write(number: str) -> str:
        if any(matches(pattern, number) for pattern in settings.internal) or set(number) & {"*", "#"}:
            return number
        readings = list(_readings(number, settings))
        for one in readings:
            if _is_short(one, settings.region):
                return one
        for good in (phonenumbers.is_valid_number, phonenumbers.is_possible_number):
            for one in readings:
                parsed = _parsed(one, settings.region)
                if parsed is not None and good(parsed):
                    return _written(parsed, settings)
        raise Refused(f"The number {number} is no telephone number: look whether a digit is missing.")

    return write


def _as_typed(number: str) -> str:
    return number


def _readings(number: str, settings: NumberSettings) -> Iterator[str]:
    """Give what the number may stand for: as dialled for an outside line, and as copied from somewhere."""
    prefix = settings.outside_prefix
    if prefix and number.startswith(prefix) and len(number) > len(prefix):
        yield number.removeprefix(prefix)
    yield number


def _is_short(number: str, region: str) -> bool:
    if phonenumbers.is_emergency_number(number, region):
        return True
    parsed = _parsed(number, region)
    return parsed is not None and phonenumbers.is_valid_short_number_for_region(parsed, region)


def _parsed(number: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _written(parsed: phonenumbers.PhoneNumber, settings: NumberSettings) -> str:
    if settings.format is NumberFormat.NATIONAL and (
        parsed.country_code == phonenumbers.country_code_for_region(settings.region)
    ):
        national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
        return "".join(char for char in national if char.isdigit())
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
