//! Values that are stored in one form only. What gleaner would have written otherwise is refused, so that an event which is
//! read is written as the same bytes, under the same hash.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A span whose nanoseconds make no second more.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(serde::Deserialize)]
    struct Span {
        secs: u64,
        nanos: u32,
    }
    let Span { secs, nanos } = Span::deserialize(deserializer)?;
    if nanos >= 1_000_000_000 {
        return Err(D::Error::custom(format!("{nanos} nanoseconds are more than a second")));
    }
    Ok(Duration::new(secs, nanos))
}

/// A map whose keys come in order, each once.
pub(super) fn map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct InOrder<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for InOrder<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map whose keys are in order")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry()? {
                if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(A::Error::custom("the keys of a map are not in order"));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(InOrder(PhantomData))
}
