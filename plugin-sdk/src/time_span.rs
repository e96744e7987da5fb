//! A length of time as an operator writes it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::SettingsError;
use crate::settings::text::{shown_as_text, text_setting};

/// A length of time, for settings: a whole number and `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
///
/// use portcullis_sdk::{SettingsError, TimeSpan};
///
/// let span: TimeSpan = "10m".parse()?;
/// assert_eq!(span.duration(), Duration::from_secs(600));
/// assert_eq!(span, TimeSpan::from_seconds(600));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan {
    seconds: u32,
}

impl TimeSpan {
    /// So many seconds: for defaults.
    pub const fn from_seconds(seconds: u32) -> Self {
        TimeSpan { seconds }
    }

    /// How long it is.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }
}

impl FromStr for TimeSpan {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        parsed(text).ok_or_else(|| SettingsError::new("write `60s`, a whole number and s, m or h"))
    }
}

fn parsed(text: &str) -> Option<TimeSpan> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    // As the schema's pattern has it: `parse` alone would take `+5`, and more digits.
    let plain = number.len() <= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = number.parse().ok().filter(|_| plain)?;
    number.checked_mul(unit).map(TimeSpan::from_seconds)
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.seconds)
    }
}

text_setting!(TimeSpan, "length of time", { "type": "string", "pattern": "^[0-9]{1,6}[smh]$" });
shown_as_text!(TimeSpan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("60s", 60), ("2m", 120), ("999999h", 3_599_996_400)] {
            let span: TimeSpan = serde_json::from_value(text.into()).unwrap();
            assert_eq!(span.duration().as_secs(), seconds, "{text}");
        }
        assert_eq!(serde_json::to_value(TimeSpan::from_seconds(60)).unwrap(), "60s");
        for wrong in ["", "s", "5", "+5s", "5ms", "1d", "-1s", "1000000s", "5 s", "é"] {
            let error = serde_json::from_value::<TimeSpan>(wrong.into()).unwrap_err();
            let expected = format!("`{wrong}` is no length of time: write `60s`, a whole number and s, m or h");
            assert_eq!(error.to_string(), expected);
        }
    }
}
