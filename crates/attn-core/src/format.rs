//! Number formats of captions, tooltips and tables, the same in every crate.

/// Two decimals, with the minus sign of typography (U+2212).
///
/// ```
/// assert_eq!(attn_core::format::signed(-0.456), "−0.46");
/// assert_eq!(attn_core::format::signed(0.5), "0.50");
/// ```
pub fn signed(value: impl Into<f64>) -> String {
    let value = value.into();
    if value < 0.0 {
        format!("−{:.2}", -value)
    } else {
        format!("{value:.2}")
    }
}

/// Three digits of a size that is not negative: `123`, `12.3`, `1.23`, `0.01`.
///
/// ```
/// use attn_core::format::three_digits;
///
/// assert_eq!([123.4, 12.34, 1.234, 0.012].map(three_digits), ["123", "12.3", "1.23", "0.01"]);
/// ```
pub fn three_digits(value: impl Into<f64>) -> String {
    match value.into() {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A number of any size in two or three significant digits, with the minus sign of typography (U+2212).
///
/// ```
/// use attn_core::format::number;
///
/// assert_eq!([1234.5, -12.34, 0.5, 0.0042, 0.00042, 0.0].map(number), ["1234", "−12.3", "0.50", "0.0042", "4e−4", "0"]);
/// ```
pub fn number(value: impl Into<f64>) -> String {
    let value = value.into();
    let size = value.abs();
    let text = match size {
        _ if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 0.01 => format!("{value:.2}"),
        _ if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.0e}"),
    };
    text.replace('-', "−")
}

/// A size in bytes, in three digits and the unit that suits it.
///
/// ```
/// use attn_core::format::bytes;
///
/// assert_eq!([7, 2048, 5 << 20, 24_164_812_800].map(bytes), ["7 bytes", "2.00 KiB", "5.00 MiB", "22.5 GiB"]);
/// ```
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next();
    // 1023.6 would be written as 1024 of the smaller unit.
    while value >= 1023.5 {
        let Some(larger) = units.next() else { break };
        (value, unit) = (value / 1024.0, Some(larger));
    }
    format!("{} {}", three_digits(value), unit.unwrap_or_default())
}
