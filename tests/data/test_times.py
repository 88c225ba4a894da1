"""Times as sources say them; the expected seconds are those of `date -u -d ... +%s`."""

import math

import pytest

from fedkeyboard.data import times

NOON = 1700222400  # 2023-11-17 12:00:00 UTC


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2023-11-17T12:00:00", NOON),
        ("2023-11-17 12:00:00Z", NOON),
        ("2023-11-17 12:00:00 UTC", NOON),
        ("2023-11-17t12:00", NOON),
        ("2023-11-17T13:00:00+01:00", NOON),
        ("2023-11-17T12:00:00.25", NOON + 0.25),
        (" 2023-11-17T12 ", NOON),
        ("2023-11-17", NOON - 43_200),
        ("20231117", NOON - 43_200),  # Eight digits are a date.
        ("20231117T120000", NOON),
        ("2023-W46-5", NOON - 43_200),
        ("2023W465", NOON - 43_200),
        ("2023-W46", NOON - 43_200 - 4 * 86_400),
        ("2023-321", NOON - 43_200),
        ("2023321", 2_023_321),  # Seven are a number, as is a year.
        ("2024-366", 1735603200),
        ("1700222400", NOON),
        ("1700222400.5", NOON + 0.5),
        ("+1.7002224e9", NOON),
        ("-86400", -86_400),
        ("0", 0),
        (NOON, NOON),
        (NOON + 0.5, NOON + 0.5),
        # By its size: in seconds these would be in the year 5138, or later.
        (1e11, 1e11),
        (1e11 + 1, 1e8 + 1e-3),
        (NOON * 1e3, NOON),
        (-NOON * 1e3, -NOON),
        (1e14 + 1, 1e8),
        (NOON * 1e6, NOON),
        (1e17 + 1e6, 1e8 + 1e-3),
        (NOON * 1e9, NOON),
        (str(NOON * 10**9), NOON),
        # The first moment of the year 1, and the last of 9999.
        (-62_135_596_800, -62_135_596_800),
        ("0001-01-01", -62_135_596_800),
        ("9999-12-31T23:59:59", 253_402_300_799),
    ],
)
def test_seconds(value, seconds):
    assert times.seconds(value) == pytest.approx(seconds, abs=1e-6)


def test_the_years_that_dates_have():
    """By seconds; and by other numbers up to what nanoseconds can say, the year 2262."""
    first, last = -62_135_596_800, 253_402_300_800
    for value in (first, last - 1):
        assert times.seconds(value, 1) == value
        assert times.seconds(1e3 * value, 1e3) == value
    for value in (first - 1, last):
        with pytest.raises(ValueError):
            times.seconds(value, 1)
    year_2262 = 9_214_646_400
    assert times.seconds(1e3 * (year_2262 - 1)) == year_2262 - 1
    with pytest.raises(ValueError):
        times.seconds(1e3 * year_2262)
    assert times.seconds(year_2262) == year_2262
    assert times.seconds(1e3 * year_2262, 1e3) == year_2262


@pytest.mark.parametrize(
    "value",
    [
        *("", "noon", "2023-11", "17.11.2023", "2023-11-17x12:00", "20231117120000"),
        *("2023-13-01", "2023-366", "2023-000", "2023-11-17T25:00", "２０２３-11-17", "1e400"),
        *(1e14, 1e30, math.nan, math.inf, -math.inf, "nan", "10000-01-01", "2023-W54"),
    ],
)
def test_what_is_no_time(value):
    with pytest.raises((ValueError, OverflowError)):
        times.seconds(value)


@pytest.mark.parametrize("value", [True, False, None, [1]])
def test_what_is_no_number(value):
    with pytest.raises(TypeError):
        times.seconds(value)


def test_a_unit_that_is_known_counts_and_not_the_size():
    assert times.seconds(5, 1e3) == 0.005
    assert times.seconds(NOON * 1e3, 1e6) == NOON / 1e3
    assert times.seconds(1e11 + 1, 1) == 1e11 + 1


def test_a_format():
    assert times.seconds("17.11.23 12:00", time_format="%d.%m.%y %H:%M") == NOON
    assert times.seconds("17.11.23 13:00 +0100", time_format="%d.%m.%y %H:%M %z") == NOON
    with pytest.raises(ValueError):
        times.seconds("20231117", time_format="%d.%m.%y")
    for known in ("%d.%m.%Y %H:%M", "%Y", "%y%j"):
        assert times.is_format(known), known
    for unknown in ("%Q", "%d.%d", "%"):
        assert not times.is_format(unknown), unknown
