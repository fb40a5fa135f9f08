//! Instants as microseconds since 1970, UTC, read and written by hand.

/// 0001-01-01T00:00:00.000000Z
pub const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z
pub const LAST: i64 = 253_402_300_799_999_999;
/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day of 86,400 s.
pub const DAY: i64 = 86_400 * SECOND;

/// Reads an RFC 3339 date-time; digits beyond the microsecond are cut off. Nothing outside the years 1 to 9999.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    if bytes.len() <= shape.len() {
        return None;
    }
    let fits = shape.iter().zip(bytes).all(|(s, b)| match s {
        b'0' => b.is_ascii_digit(),
        other => b.to_ascii_uppercase() == *other,
    });
    if !fits {
        return None;
    }
    let (date_time, rest) = text.split_at(shape.len());
    let number = |from: usize, to: usize| date_time[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = fraction_of(rest)?;
    let seconds = days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_of(zone)?;
    in_range(i128::from(seconds) * i128::from(SECOND) + i128::from(fraction))
}

/// An instant, if it lies in the years 1 to 9999.
pub fn in_range(micros: i128) -> Option<i64> {
    i64::try_from(micros).ok().filter(|m| (FIRST..=LAST).contains(m))
}

fn fraction_of(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    if end == 0 {
        return None;
    }
    let six: String = digits[..end].chars().chain("000000".chars()).take(6).collect();
    Some((six.parse().ok()?, &digits[end..]))
}

fn offset_of(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |s: &str, below: i64| match s.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => s.parse::<i64>().ok().filter(|n| *n < below),
        _ => None,
    };
    Some(sign * (two(hours, 24)? * 3600 + two(minutes, 60)? * 60))
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to that day.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let y = year - 1;
    let years = y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    let months: i64 = (1..month).map(|m| days_in(year, m)).sum();
    years + months + day - 1 - 719_162
}

/// Writes an instant with six digits after the point.
pub fn format(micros: i64) -> String {
    let (mut days, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let mut year = 1970 + days.div_euclid(366);
    while days >= days_before(year + 1, 1, 1) {
        year += 1;
    }
    while days < days_before(year, 1, 1) {
        year -= 1;
    }
    days -= days_before(year, 1, 1);
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.9999999z", -1),
            ("2000-02-29t12:00:00+01:30", 951_820_200 * SECOND),
            ("2026-11-20T10:00:00.120000Z", 1_795_168_800_120_000),
            ("0001-01-01T00:00:00Z", FIRST),
            ("9999-12-31T23:59:59.9999999Z", LAST),
        ] {
            assert_eq!(parse(text), Some(micros), "{text}");
        }
        for text in [
            "2026-11-20",
            "2026-11-20T10:00:00",
            "2026-11-20 10:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00:00+1:00",
            "2026-11-20T10:00:00+01:00x",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-11-20T10:00:0é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for micros in [FIRST, LAST, 0, -1, 1, 951_782_400 * SECOND, 1_795_168_800_120_000, 68_169_600 * SECOND] {
            assert_eq!(parse(&format(micros)), Some(micros), "{}", format(micros));
        }
        assert_eq!(format(1_795_168_800_120_000), "2026-11-20T10:00:00.120000Z");
    }
}
