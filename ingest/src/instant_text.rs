//! The text of an instant, for records: what its `Display` prints, in a tenth of the time.

use weir_event::Timestamp;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Days from 0000-03-01 to 1970-01-01: years that begin in March have their leap day at the end.
const MARCH_0000: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats itself.
const ERA: i64 = 146_097;

/// Appends the text that `instant` prints.
pub(crate) fn write(out: &mut Vec<u8>, instant: Timestamp) {
    if !(Timestamp::MIN..=Timestamp::MAX).contains(&instant) {
        // No instant of an event; a clock far off may show it.
        out.extend_from_slice(instant.to_string().as_bytes());
        return;
    }
    let (days, micros) = (instant.micros().div_euclid(DAY), instant.micros().rem_euclid(DAY));
    let (year, month, day) = date(days);
    let seconds = micros / SECOND;
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (end, digits, number) in [
        (4, 4, year),
        (7, 2, month),
        (10, 2, day),
        (13, 2, seconds / 3_600),
        (16, 2, seconds / 60 % 60),
        (19, 2, seconds % 60),
        (26, 6, micros % SECOND),
    ] {
        put(&mut text[end - digits..end], number);
    }
    out.extend_from_slice(&text);
}

/// Year, month and day of the day that lies `days` after 1970-01-01, for years from 1 on.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + MARCH_0000;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, over and over: 153 in five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(micros: i64) -> String {
        let mut out = Vec::new();
        write(&mut out, Timestamp::from_micros(micros));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_day_is_as_it_prints() {
        for day in Timestamp::MIN.micros().div_euclid(DAY)..=Timestamp::MAX.micros().div_euclid(DAY) {
            let micros = day * DAY + 1;
            assert_eq!(text(micros), Timestamp::from_micros(micros).to_string());
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_as_it_prints(micros in any::<i64>(), within in Timestamp::MIN.micros()..=Timestamp::MAX.micros()) {
            for micros in [micros, within] {
                prop_assert_eq!(text(micros), Timestamp::from_micros(micros).to_string());
            }
        }
    }
}
