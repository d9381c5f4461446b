//! Sizes and durations as people write them.

use std::time::Duration;

const NOT_A_SIZE: &str =
    "a size is a whole number of bytes, such as 10000, 64KiB or 1MiB; the largest unit is GiB";

/// A number of bytes: 10000, 64KiB, 1MiB, 2GiB, or the decimal kB, MB, GB. A bare K, M or G is
/// binary.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(NOT_A_SIZE.to_owned()),
    };
    let number: u64 = number.replace('_', "").parse().map_err(|_| NOT_A_SIZE.to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "this is more than fits into 64 bits".to_owned())
}

/// A size of something in this process's memory.
pub(crate) fn memory_size(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "this is more than the memory".to_owned())
}

/// A duration: 5s, 500ms, 1.5s, 2m, 1h; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number with a unit, such as 5s, 500ms or 2m".to_owned();
    let (number, unit) = split(text);
    let seconds_per_unit = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| wrong())
}

/// A duration in the fewest words: 5 s, 500 ms, 1.5 s.
pub(crate) fn in_words(d: Duration) -> String {
    if d < Duration::from_secs(1) && d.subsec_nanos().is_multiple_of(1_000_000) {
        format!("{} ms", d.as_millis())
    } else {
        format!("{} s", d.as_secs_f64())
    }
}

/// An exact number of bytes in the largest binary unit that divides it: 64 MiB, 1000 bytes.
pub(crate) fn binary(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// A number of bytes for a person: 41 bytes, 3.2 MiB.
pub(crate) fn bytes_in_words(bytes: u64) -> String {
    let b = bytes as f64;
    match bytes {
        1 => "1 byte".to_owned(),
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{:.1} KiB", b / 1024.0),
        10_485_760..10_737_418_240 => format!("{:.1} MiB", b / 1_048_576.0),
        _ => format!("{:.1} GiB", b / 1_073_741_824.0),
    }
}

/// "1 message", "3 messages".
pub(crate) fn messages(n: u64) -> String {
    if n == 1 { "1 message".to_owned() } else { format!("{n} messages") }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("10000", 10_000),
            ("10_000", 10_000),
            ("64KiB", 65_536),
            ("64k", 65_536),
            ("1MiB", 1 << 20),
            ("2 GiB", 2 << 30),
            ("3kB", 3_072 - 72),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in
            ["", "x", "-1", "1.5MiB", "1TiB", "99999999999999999999", "18446744073709551615k"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exact_sizes_in_words() {
        for (bytes, words) in
            [(64 << 20, "64 MiB"), (3 << 30, "3 GiB"), (1_000, "1000 bytes"), (0, "0 bytes")]
        {
            assert_eq!(binary(bytes), words);
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("5s", 5_000), ("500ms", 500), ("1.5s", 1_500), ("2m", 120_000), ("3", 3_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "5 parsecs", "1e400s", "999999999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(in_words(Duration::from_secs(5)), "5 s");
        assert_eq!(in_words(Duration::from_millis(1_500)), "1.5 s");
        assert_eq!(in_words(Duration::from_millis(500)), "500 ms");
    }
}
