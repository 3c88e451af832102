"""What looks sensitive: by the name of a member, or by the shape of a text with its check digits.

It only suggests: a name is compared with a list, and of a text the first characters are looked at.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Final

from .policy import JOINED_WORDS, NAME_CHARS, SENSITIVE_CHARS

_NAMES: Final = {
    "credential": "password passwd pwd passphrase secret token apikey accesskey privatekey"
    " credential credentials pin otp cvv cvc totp",
    "health": "diagnosis diagnoses icd medication medications medicine drug drugs prescription"
    " prescriptions allergy allergies symptom symptoms anamnesis bloodtype bloodgroup therapy"
    " treatment disability pregnancy vaccination vaccinations finding findings",
    "contact": "email emails mail phone phones telephone mobile cell fax address addresses street"
    " postcode postalcode zip zipcode",
    "identity": "ssn socialsecurity nin nationalid passport taxid idcard driverlicense"
    " driverslicense insurance insuranceid birthdate birthday birthplace dob dateofbirth firstname"
    " lastname middlename surname familyname givenname fullname maidenname",
    "bank": "iban bic accountnumber card creditcard pan salary income",
    "belief": "religion ethnicity race orientation politics",
    "place": "latitude longitude geolocation",
}
_KINDS: Final = {word: kind for kind, words in _NAMES.items() for word in words.split()}
_SUFFIXES: Final = frozenset({"number", "numbers", "no", "nr", "text", "value", "code", "line"})
_USUAL: Final = """
account accounts appointment appointments attributes billing body case cases client clients
contact contacts content customer customers data detail details employee employees entries
entry extra family field fields first form full guardian home id info input item items last
list main member members message messages meta metadata name names note notes of option
options order orders parameters parent parents patient patients payload payment payments
person personal persons private profile record records relative request response result
results rows sender settings shipping student students subject text title type user users
value variables visit visits work
"""
_PLAIN: Final = frozenset(_USUAL.split())
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def kind_of_name(name: str) -> str | None:
    """Return what the name of a member says that its value is; None if it says nothing of it.

    The words at its end decide: `contactEmail` is one, `emailTemplate` is none.
    """
    words = _words(name)
    while words and (words[-1].isdigit() or (len(words) > 1 and words[-1] in _SUFFIXES)):
        words.pop()
    for many in range(min(JOINED_WORDS, len(words)), 0, -1):
        kind = _KINDS.get("".join(words[-many:]))
        if kind is not None:
            return kind
    return None


def is_plain(name: str) -> bool:
    """Return whether a name consists of words of this file alone, so that it may be shown."""
    words = _words(name)
    joined = "".join(words)
    if len(joined) != len(re.sub(r"[_. -]", "", name)):
        return False
    known = (word in _PLAIN or word in _KINDS or word in _SUFFIXES for word in words)
    return bool(words) and (joined in _KINDS or all(known))


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case, however they are joined."""
    return [] if len(name) > NAME_CHARS else [word.lower() for word in _WORDS.findall(name)]


_EMAIL: Final = re.compile(r"[A-Za-z0-9_%+'-]@[A-Za-z0-9-]+\.[A-Za-z]{2}")
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD: Final = re.compile(r"(?<![0-9.-])[2-6](?:[ -]?[0-9]){12,18}(?!\.?[0-9])")
_PRINTED_CARD: Final = re.compile(
    r"(?:[0-9]{13,19}|[0-9]{4}(?:[ -][0-9]{4}){3}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5})(?= )"
)
_IBAN_CHARS: Final = 15
_GROUP: Final = 4
_IBAN_DIGITS: Final = {ord(char): str(int(char, 36)) for char in string.ascii_uppercase}
_SECURITY: Final = (
    # United States: no check digit, so only with its dashes.
    re.compile(r"(?<![0-9-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-])"),
    re.compile(r"(?<![0-9])756\.?[0-9]{4}\.?[0-9]{4}\.?[0-9]{2}(?![0-9])"),
    re.compile(
        r"(?<![0-9])[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?[0-9AB]{2}(?: ?[0-9]{3}){2} ?[0-9]{2}"
        r"(?![0-9])"
    ),
    re.compile(r"(?<![0-9])[0-9]{2} ?[0-3][0-9][01][0-9][0-9]{2} ?[A-Z] ?[0-9]{3}(?![0-9])"),
)  # fmt: skip


def kind_of_text(text: str) -> str | None:
    """Return what a text looks like, by its form and check digits; None for nothing of these."""
    text = text[:SENSITIVE_CHARS]
    if "@" in text and _EMAIL.search(text):
        return "e-mail"
    if not any("0" <= char <= "9" for char in text):
        return None
    if any(_is_iban(one) for found in _IBAN.finditer(text) for one in _ibans(found[0])):
        return "iban"
    if any(_is_security_number(text)):
        return "social-security-number"
    if any(is_card(one) for found in _CARD.finditer(text) for one in _cards(found[0])):
        return "card-number"
    return None


def _ibans(text: str) -> Iterator[str]:
    """Yield what may be an IBAN: all of it, or what it begins with in one piece or in groups."""
    words = text.split(" ")
    yield "".join(words)
    for number, word in enumerate(words[:-1], 1):
        begins = "".join(words[:number])
        if len(begins) >= _IBAN_CHARS and (number == 1 or len(word) <= _GROUP):
            yield begins
        if len(word) != _GROUP:
            return


def _cards(text: str) -> Iterator[str]:
    """Yield what may be a card number: all digits, or the first in the form in which it is printed.

    A date or a check number may follow it.
    """
    yield _digits(text)
    printed = _PRINTED_CARD.match(text)
    if printed is not None:
        yield _digits(printed[0])


def _digits(text: str) -> str:
    return re.sub(r"[ -]", "", text)


def _is_iban(text: str) -> bool:
    """Return whether an IBAN has its check digits (ISO 13616)."""
    return int((text[4:] + text[:4]).translate(_IBAN_DIGITS)) % 97 == 1


def is_card(digits: str) -> bool:
    """Return whether digits end with the check digit of card numbers (Luhn, ISO/IEC 7812)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(one - 9 if one > 9 else one for one in doubled)  # noqa: PLR2004 - a digit
    return total % 10 == 0 and len(set(digits)) > 1


def _is_security_number(text: str) -> Iterator[bool]:
    american, swiss, french, german = _SECURITY
    yield american.search(text) is not None
    yield any(_is_swiss(found[0].replace(".", "")) for found in swiss.finditer(text))
    yield any(_is_french(found[0].replace(" ", "")) for found in french.finditer(text))
    yield any(_is_german(found[0].replace(" ", "")) for found in german.finditer(text))


def _is_swiss(digits: str) -> bool:
    """AHV: a check digit as of EAN-13."""
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits[:-1]))
    return (10 - total % 10) % 10 == int(digits[-1])


def _is_french(text: str) -> bool:
    """NIR: 97 less the rest of the number; the departments of Corsica count as 19 and 18."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def _is_german(text: str) -> bool:
    """Versicherungsnummer: weighted sums of digits, the letter as its number of two digits."""
    digits = f"{text[:8]}{ord(text[8]) - 64:02d}{text[9:11]}"
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    parts = (int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
    return sum(part // 10 + part % 10 for part in parts) % 10 == int(text[11])
