import collections
import datetime

import numpy as np
import pytest
from scipy import optimize, special

from fedkeyboard.simulation import config
from fedkeyboard.simulation.fleet import habits
from fedkeyboard.simulation.fleet.habits import DAY, HOUR, NIGHT, Phones

UNITED_STATES = config.Habits()
MANY = np.arange(20_000)


@pytest.fixture(scope="module")
def phones():
    return Phones(UNITED_STATES, seed=5)


def available(phones, hours, of=MANY):
    """Whether each phone is available at each hour after Monday's midnight UTC: [hours, phones]."""
    times = [np.full(len(of), hour * HOUR) for hour in hours]
    return np.array([phones.available_until(of, at) > at for at in times])


def asleep(bed, bed_deviation, wake, wake_deviation, hour):
    """The chance of being asleep at `hour`, or a day later."""
    return sum(
        special.ndtr((h - bed) / bed_deviation) * special.ndtr((wake - h) / wake_deviation)
        for h in (hour - 24, hour, hour + 24)
    )


def test_nights_are_fitted_to_the_chat(corpus):
    """The fit of the docstring, made again from the time stamps."""
    local = [datetime.datetime.fromtimestamp(m.time - 6 * HOUR, datetime.UTC).hour for m in corpus]
    counts = collections.Counter(local)
    hours = np.arange(24)
    messages = np.array([counts[hour] for hour in hours], float)
    idle = np.clip(1 - messages / np.mean(np.sort(messages)[-6:]), 0, 1)
    fitted, _ = optimize.curve_fit(
        lambda hour, *night: asleep(*night, hour), hours + 0.5, idle, p0=[23, 2, 32, 2]
    )
    expected = [NIGHT.bed, NIGHT.bed_deviation, NIGHT.wake, NIGHT.wake_deviation]
    np.testing.assert_allclose(fitted, expected, atol=0.05)
    assert np.max(np.abs(asleep(*expected, hours + 0.5) - idle)) < 0.14


def test_four_times_as_many_phones_at_the_best_hour(phones):
    """Bonawitz et al. 2019, section 9, of phones mostly in the United States."""
    by_hour = available(phones, np.arange(24, 96)).mean(axis=1).reshape(3, 24).mean(axis=0)
    assert 3.3 < by_hour.max() / by_hour.min() < 4.7
    # At night: 6 to 12 h UTC is after midnight on both coasts.
    assert 6 <= by_hour.argmax() <= 12
    assert not 2 <= by_hour.argmin() <= 14


def test_the_same_whenever_and_with_whomever_it_is_asked(phones):
    times = np.linspace(0, 5 * DAY, len(MANY))
    whole = phones.available_until(MANY, times)
    some = slice(100, 20_000, 997)
    np.testing.assert_array_equal(phones.available_until(MANY[some], times[some]), whole[some])
    again = Phones(UNITED_STATES, seed=5)
    np.testing.assert_array_equal(again.available_until(MANY, times), whole)
    other = Phones(UNITED_STATES, seed=6).available_until(MANY, times)
    assert np.mean(other != whole) > 0.5


def test_until_is_when_it_ends(phones):
    times = np.full(len(MANY), 2 * DAY + 8.25 * HOUR)
    until = phones.available_until(MANY, times)
    here = until > times
    assert 0.3 < here.mean() < 0.8
    for share in (0.01, 0.5, 0.99):
        between = times + share * (until - times)
        still = phones.available_until(MANY[here], between[here])
        np.testing.assert_allclose(still, np.maximum(still, until[here]), rtol=1e-9)
    # Afterwards it is not available, but for those whose other window goes on.
    after = phones.available_until(MANY[here], until[here] + 1)
    assert np.mean(after > until[here] + 1) < 0.2
    # And a while is some hours, never more than a day.
    assert np.min((until - times)[here]) > 0 and np.max((until - times)[here]) < DAY


def splitmix(number):
    """SplitMix64's finalizer (Steele, Lea and Flood 2014), in Python's integers."""
    number &= 2**64 - 1
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB & 2**64 - 1
    return number ^ (number >> 31)


def drawn(seed, stream, phone, day=None):
    """A number in (0, 1), of one phone."""
    golden = 0x9E3779B97F4A7C15
    bits = splitmix(phone * golden + splitmix(seed * golden + stream + 1))
    if day is not None:
        bits = splitmix(bits + day * golden)
    return ((bits >> 11) + 0.5) / 2**53


def windows(of, seed, phone, days):
    """The whiles of one phone's days, (begin, end) in hours UTC since a Monday's midnight."""
    numbers = iter(range(14))
    zone, bed, wake, nights, of_days, _, _, _, _, charged, later, desk, begin, length = (
        lambda day=None, stream=stream: drawn(seed, stream, phone, day) for stream in numbers
    )
    left = zone() * sum(of.time_zones.values())
    for name, share in of.time_zones.items():
        offset = float(name)
        left -= share
        if left < 0:
            break
    normal = special.ndtri
    for day in days:
        if charged(day) < nights() ** (1 / of.nights - 1):
            # Of the variance of bedtime four fifths are between people.
            to_bed = 0.8**0.5 * normal(bed()) + 0.2**0.5 * normal(later(day))
            up = min(NIGHT.wake + NIGHT.wake_deviation * normal(wake()), 40)
            to_bed = max(NIGHT.bed + NIGHT.bed_deviation * to_bed, 16)
            yield 24 * day + to_bed - offset, 24 * day + up - offset
        if desk(day) < of_days() ** (1 / of.days - 1):
            first = 24 * day + 16 + 24 * begin(day) - offset
            yield first, first + min(-of.desk_hours * np.log(1 - length(day)), 24)


@pytest.mark.parametrize(
    "of", [UNITED_STATES, config.Habits(desk_hours=20.0, days=0.9, nights=0.3)]
)
def test_available_as_the_windows_of_each_day(of):
    """Day by day and phone by phone, in plain numbers."""
    seed = 7
    made = Phones(of, seed)
    times = np.sort(np.random.default_rng(0).uniform(-2 * DAY, 9 * DAY, 200))
    there = 0
    for phone in (0, 1, 5, 123_456, 9_999_999, 77, 78, 79):
        until = made.available_until(np.full(len(times), phone), times)
        all_windows = list(windows(of, seed, phone, range(-6, 13)))
        for at, found in zip(times, until, strict=True):
            ends = [end for begin, end in all_windows if begin <= at / 3600 < end]
            assert (found > at) == bool(ends)
            if ends:
                there += 1
                # The day's end cuts a night; of several whiles it is the last one that counts.
                assert found / 3600 == pytest.approx(max(ends), abs=1e-6)
    assert there > 200


def test_hours_and_days_are_of_seconds():
    assert (HOUR, DAY) == (60 * 60, 24 * 60 * 60)


def test_rates_phone_by_phone():
    of, seed = config.Habits(desk_hours=9.0, days=0.6, nights=0.7), 7
    # And of one that wakes before it goes to bed, and those of less than an hour, of 23, of 25.
    some = np.array([*range(200), 2010, 1241, 2064, 14_011])
    expected, slept = [], []
    for phone in some.tolist():
        of_bed, of_wake, of_nights, of_days = (drawn(seed, i, phone) for i in (1, 2, 3, 4))
        bed = NIGHT.bed + NIGHT.bed_deviation * 0.8**0.5 * special.ndtri(of_bed)
        wake = NIGHT.wake + NIGHT.wake_deviation * special.ndtri(of_wake)
        slept.append(wake - bed)
        nights = of_nights ** (1 / 0.7 - 1) * min(max(wake - bed, 0), 24) / 24
        # The mean of an exponential length of which nothing counts beyond a day.
        days = of_days ** (1 / 0.6 - 1) * 9 * (1 - np.exp(-24 / 9)) / 24
        expected.append(1 - (1 - nights) * (1 - days))
    negative, *others = slept[200:]
    assert negative < 0 and np.floor(others).tolist() == [0, 23, 25]
    np.testing.assert_allclose(Phones(of, seed).rates(some), expected, rtol=1e-9)


def test_what_phones_are_able_to_do_phone_by_phone():
    of, seed = config.Habits(milliseconds_per_sentence=50, down_mbps=8, up_mbps=2, spread=3), 7
    made, some = Phones(of, seed), np.arange(200)

    def tail(stream):
        return np.array([3 ** special.ndtri(drawn(seed, stream, i)) for i in range(200)])

    np.testing.assert_allclose(made.seconds_per_sentence(some), 0.05 * tail(5), rtol=1e-9)
    down, up = made.bytes_per_second(some)
    # Mega is a million, and a byte 8 bits.
    np.testing.assert_allclose(down, 8e6 / 8 / tail(6), rtol=1e-9)
    np.testing.assert_allclose(up, 2e6 / 8 / tail(7), rtol=1e-9)
    ends = {0.1: 1, 0.35: 2, 0.6: 3, 0.85: 4, 1.0: 6}
    expected = [
        next(size for end, size in ends.items() if drawn(seed, 8, i) < end) for i in range(200)
    ]
    assert made.memory_gb(some).tolist() == expected


def test_rates_are_about_the_time_that_phones_are_available(phones):
    """As the heavy test below, of fewer phones and days."""
    some = MANY[:400]
    long_whiles = Phones(config.Habits(desk_hours=12.0, days=0.9, nights=0.3), seed=5)
    for of in (phones, long_whiles):
        seen = available(of, np.arange(0, 24 * 30), some).mean(axis=0)
        rates = of.rates(some)
        assert np.mean(rates) == pytest.approx(np.mean(seen), rel=0.05)
        # A month tells a phone's own share to a tenth or so.
        assert np.corrcoef(rates, seen)[0, 1] > 0.85


@pytest.mark.heavy
def test_rates_are_the_time_that_phones_are_available(phones):
    some = MANY[:3000]
    hours = np.arange(0, 24 * 60, 0.5)
    seen = available(phones, hours, some).mean(axis=0)
    rates = phones.rates(some)
    assert np.mean(rates) == pytest.approx(np.mean(seen), rel=0.04)
    assert np.corrcoef(rates, seen)[0, 1] > 0.97
    # Phones differ: some are hardly ever there.
    assert np.quantile(rates, 0.05) < 0.2 < 0.45 < np.quantile(rates, 0.95)


@pytest.mark.parametrize("nights", [0.1, 0.5, 0.9])
def test_more_nights_more_time(nights):
    one = Phones(config.Habits(nights=nights), 0).rates(MANY)
    more = Phones(config.Habits(nights=nights + 0.09), 0).rates(MANY)
    assert np.all(more >= one) and more.mean() > one.mean()


def test_traits_have_the_medians_and_the_spread_that_were_set():
    of = config.Habits(milliseconds_per_sentence=50, down_mbps=8, up_mbps=2, spread=2)
    phones = Phones(of, 1)
    down, up = phones.bytes_per_second(MANY)
    for trait, median in (
        (phones.seconds_per_sentence(MANY), 0.05),
        (down, 1e6),
        (up, 0.25e6),
    ):
        assert np.median(trait) == pytest.approx(median, rel=0.03)
        assert np.quantile(trait, 0.8413) == pytest.approx(2 * np.median(trait), rel=0.05)
    # Fast networks are not those of fast phones: independent streams.
    assert abs(np.corrcoef(np.log(down), np.log(phones.seconds_per_sentence(MANY)))[0, 1]) < 0.03


def test_memory_and_time_zones_have_their_shares():
    memory = Phones(UNITED_STATES, 2).memory_gb(MANY)
    for size, share in habits._MEMORY_GB.items():
        assert np.mean(memory == size) == pytest.approx(share, abs=0.012)
    east = Phones(config.Habits(time_zones={"0": 1.0, "12": 1.0}), 2)
    by_hour = available(east, np.arange(24, 48)).mean(axis=1)
    np.testing.assert_allclose(by_hour[:12], by_hour[12:], atol=0.04)
