//! Dates and times as texts: the formats of `java.time` (ISO 8601).

use super::Error;
use crate::data::{LocalDate, LocalTime};

/// The digits that `text` begins with, of which there are between `least` and `most`.
fn digits(text: &mut &str, least: usize, most: usize) -> Option<u32> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if length < least {
        return None;
    }
    let (number, rest) = text.split_at(length);
    *text = rest;
    number.parse().ok()
}

fn skip(text: &mut &str, character: char) -> Option<()> {
    *text = text.strip_prefix(character)?;
    Some(())
}

fn take_date(text: &mut &str) -> Option<LocalDate> {
    let sign = text.chars().next().filter(|sign| matches!(sign, '+' | '-'));
    if let Some(sign) = sign {
        skip(text, sign)?;
    }
    // More than four digits require a sign.
    let year = i32::try_from(digits(text, 4, if sign.is_some() { 9 } else { 4 })?).ok()?;
    skip(text, '-')?;
    let month = digits(text, 2, 2)?;
    skip(text, '-')?;
    let day = digits(text, 2, 2)?;
    let year = if sign == Some('-') { -year } else { year };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    Some(LocalDate { year, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? })
}

fn take_time(text: &mut &str) -> Option<LocalTime> {
    let hour = digits(text, 2, 2)?;
    skip(text, ':')?;
    let minute = digits(text, 2, 2)?;
    let (mut second, mut nanosecond) = (0, 0);
    if skip(text, ':').is_some() {
        second = digits(text, 2, 2)?;
        if skip(text, '.').is_some() {
            let before = text.len();
            let fraction = digits(text, 0, 9)?;
            let length = u32::try_from(before - text.len()).ok()?;
            nanosecond = fraction * 10_u32.pow(9_u32.checked_sub(length)?);
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(LocalTime {
        hour: u8::try_from(hour).ok()?,
        minute: u8::try_from(minute).ok()?,
        second: u8::try_from(second).ok()?,
        nanosecond: i32::try_from(nanosecond).ok()?,
    })
}

/// In seconds.
fn take_offset(text: &mut &str) -> Option<i32> {
    if skip(text, 'Z').is_some() || skip(text, 'z').is_some() {
        return Some(0);
    }
    let is_negative = skip(text, '-').is_some();
    if !is_negative {
        skip(text, '+')?;
    }
    let hours = digits(text, 2, 2)?;
    skip(text, ':')?;
    let minutes = digits(text, 2, 2)?;
    let seconds = if skip(text, ':').is_some() { digits(text, 2, 2)? } else { 0 };
    let offset = i32::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
    if minutes > 59 || seconds > 59 || offset > 18 * 3600 {
        return None;
    }
    Some(if is_negative { -offset } else { offset })
}

fn whole<T>(text: &str, what: &str, take: impl FnOnce(&mut &str) -> Option<T>) -> Result<T, Error> {
    let mut rest = text;
    take(&mut rest).filter(|_| rest.is_empty()).ok_or_else(|| {
        let text = text.chars().take(40).collect::<String>();
        Error::invalid(format!("{text:?} is not a {what}"))
    })
}

/// `2026-12-01`.
pub(super) fn parse_date(text: &str) -> Result<LocalDate, Error> {
    whole(text, "date", take_date)
}

/// `10:15`, `10:15:30` or `10:15:30.123456789`.
pub(super) fn parse_time(text: &str) -> Result<LocalTime, Error> {
    whole(text, "time", take_time)
}

fn take_date_time(text: &mut &str) -> Option<(LocalDate, LocalTime)> {
    let date = take_date(text)?;
    skip(text, 'T').or_else(|| skip(text, 't'))?;
    Some((date, take_time(text)?))
}

/// `2026-12-01T10:15:30`.
pub(super) fn parse_date_time(text: &str) -> Result<(LocalDate, LocalTime), Error> {
    whole(text, "date and time", take_date_time)
}

/// `2026-12-01T10:15:30+01:00`. The offset is in seconds.
pub(super) fn parse_offset_date_time(text: &str) -> Result<(LocalDate, LocalTime, i32), Error> {
    whole(text, "date and time with an offset", |text| {
        let (date, time) = take_date_time(text)?;
        Some((date, time, take_offset(text)?))
    })
}

pub(super) fn format_date(date: LocalDate) -> String {
    let LocalDate { year, month, day } = date;
    let year = match (year < 0, year.unsigned_abs()) {
        (true, year) => format!("-{year:04}"),
        (false, year @ 10_000..) => format!("+{year}"),
        (false, year) => format!("{year:04}"),
    };
    format!("{year}-{month:02}-{day:02}")
}

pub(super) fn format_time(time: LocalTime) -> String {
    let LocalTime { hour, minute, second, nanosecond } = time;
    let mut text = format!("{hour:02}:{minute:02}");
    if second != 0 || nanosecond != 0 {
        text += &format!(":{second:02}");
    }
    text += &match nanosecond {
        0 => String::new(),
        _ if nanosecond % 1_000_000 == 0 => format!(".{:03}", nanosecond / 1_000_000),
        _ if nanosecond % 1000 == 0 => format!(".{:06}", nanosecond / 1000),
        _ => format!(".{nanosecond:09}"),
    };
    text
}

pub(super) fn format_offset(seconds: i32) -> String {
    if seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        text += &format!(":{:02}", seconds % 60);
    }
    text
}

/// Order of dates.
pub(super) const fn date_key(date: LocalDate) -> (i32, u8, u8) {
    (date.year, date.month, date.day)
}

/// Order of times.
pub(super) const fn time_key(time: LocalTime) -> (u8, u8, u8, i32) {
    (time.hour, time.minute, time.second, time.nanosecond)
}

/// Seconds since the epoch, in UTC. Algorithm: H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`.
pub(super) fn epoch_second(date: LocalDate, time: LocalTime, offset: i32) -> i64 {
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let (hour, minute) = (i64::from(time.hour), i64::from(time.minute));
    days * 86_400 + hour * 3600 + minute * 60 + i64::from(time.second) - i64::from(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_parsed_and_printed() {
        for text in ["2024-02-29", "0001-12-31", "+12345-01-01", "-0044-03-15"] {
            assert_eq!(format_date(parse_date(text).unwrap()), text);
        }
        for text in ["12:30", "23:59:59", "00:00:00.001", "01:02:03.000004", "01:02:03.000000005"] {
            assert_eq!(format_time(parse_time(text).unwrap()), text);
        }
        let (date, time, offset) = parse_offset_date_time("2024-02-29T01:02:03-05:30").unwrap();
        assert_eq!(format_offset(offset), "-05:30");
        assert_eq!(epoch_second(date, time, offset), 1_709_188_323);
        let (date, time) = parse_date_time("1970-01-01T00:00").unwrap();
        assert_eq!(epoch_second(date, time, 0), 0);
    }

    #[test]
    fn invalid_dates_and_times_are_errors() {
        for text in
            ["", "2023-02-29", "2024-13-01", "24-01-01", "2024-1-1", "2024-01-01x", "12345-01-01"]
        {
            assert!(parse_date(text).is_err(), "{text:?}");
        }
        for text in ["24:00", "1:00", "12:60", "12:00:60", "12:00:00.1234567890"] {
            assert!(parse_time(text).is_err(), "{text:?}");
        }
        assert!(parse_offset_date_time("2024-02-29T01:02:03+19:00").is_err());
    }

    #[test]
    fn fuzz_query_dates() {
        let samples = ["2024-02-29", "12:30:01.5", "2024-02-29T12:30", "2024-02-29T12:30:00-01:00"];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Ok(date) = parse_date(text) {
                assert_eq!(parse_date(&format_date(date)), Ok(date));
            }
            if let Ok(time) = parse_time(text) {
                assert_eq!(parse_time(&format_time(time)), Ok(time));
            }
            if let Ok((date, time, offset)) = parse_offset_date_time(text) {
                epoch_second(date, time, offset);
            }
        });
    }
}
