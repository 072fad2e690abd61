//! A point in time on the wire.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_guard::time::WallMillis;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// RFC 3339 in UTC, to the second: `2027-01-15T08:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    seconds: u64,
}

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

impl From<WallMillis> for Moment {
    fn from(at: WallMillis) -> Self {
        Self {
            seconds: at.seconds().min(LAST_SECOND),
        }
    }
}

impl From<Moment> for WallMillis {
    fn from(moment: Moment) -> Self {
        Self(moment.seconds * 1000)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.seconds)).fmt(f)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: SystemTime = humantime::parse_rfc3339(&text).map_err(de::Error::custom)?;
        let since_epoch = time.duration_since(UNIX_EPOCH).map_err(de::Error::custom)?;
        Ok(Self {
            seconds: since_epoch.as_secs(),
        })
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC, to the second.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let moment = Moment::from(WallMillis(1_800_000_000_999));
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2027-01-15T08:00:00Z\"");
        assert_eq!(serde_json::from_str::<Moment>(&json).unwrap(), moment);
    }

    #[test]
    fn the_end_of_time_is_still_a_date() {
        assert_eq!(Moment::from(WallMillis(u64::MAX)).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Moment::from(WallMillis(0)).to_string(), "1970-01-01T00:00:00Z");
    }
}
