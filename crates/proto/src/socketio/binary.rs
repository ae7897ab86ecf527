//! `Binary`: bytes inside a value; on the wire an attachment, and in its place a placeholder.

use std::cell::RefCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that travel as an attachment of a Socket.IO packet. In other JSON they are base64 text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary(pub Bytes);

thread_local! {
    /// The attachments of the value that this thread is reading or writing.
    static ATTACHED: RefCell<Option<Attached>> = const { RefCell::new(None) };
}

struct Attached {
    attachments: Vec<Bytes>,
    /// More than so many are refused.
    limit: usize,
}

/// Runs `work`, in which placeholders stand for these attachments and new ones are added behind them, up to `limit`;
/// gives back all.
pub(super) fn with_attachments<T>(
    attachments: Vec<Bytes>,
    limit: usize,
    work: impl FnOnce() -> T,
) -> (T, Vec<Bytes>) {
    /// Restores what was there before, even if `work` panics.
    struct Restore(Option<Attached>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ATTACHED.set(self.0.take());
        }
    }
    let _restore = Restore(ATTACHED.replace(Some(Attached { attachments, limit })));
    let result = work();
    (result, ATTACHED.take().map_or_else(Vec::new, |attached| attached.attachments))
}

/// The attachment that a placeholder names. `None` outside of a packet, where there are no placeholders.
pub(super) fn attached(number: u64) -> Option<Result<Bytes, String>> {
    ATTACHED.with_borrow(|attached| {
        let attached = attached.as_ref()?;
        let found = usize::try_from(number).ok().and_then(|number| attached.attachments.get(number));
        Some(found.cloned().ok_or_else(|| format!("there is no attachment {number}")))
    })
}

pub(super) const PLACEHOLDER: &str = "_placeholder";
pub(super) const NUMBER: &str = "num";

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = ATTACHED.with_borrow_mut(|attached| {
            let attached = attached.as_mut()?;
            if attached.attachments.len() >= attached.limit {
                return Some(Err(attached.limit));
            }
            attached.attachments.push(self.0.clone());
            Some(Ok(attached.attachments.len() - 1))
        });
        match number {
            Some(Err(limit)) => {
                Err(serde::ser::Error::custom(format_args!("a packet holds at most {limit} attachments")))
            }
            Some(Ok(number)) => {
                // The order that every client writes.
                let mut placeholder = serializer.serialize_struct(PLACEHOLDER, 2)?;
                placeholder.serialize_field(PLACEHOLDER, &true)?;
                placeholder.serialize_field(NUMBER, &number)?;
                placeholder.end()
            }
            None => serializer.serialize_str(&STANDARD.encode(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Binary, D::Error> {
        deserializer.deserialize_any(Attachment)
    }
}

struct Attachment;

impl<'de> Visitor<'de> for Attachment {
    type Value = Binary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("binary data")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Binary, M::Error> {
        let (mut placeholder, mut number) = (false, None);
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                PLACEHOLDER => placeholder = map.next_value()?,
                NUMBER => number = Some(map.next_value()?),
                _ => return Err(de::Error::custom("this is no placeholder of an attachment")),
            }
        }
        match number.filter(|_| placeholder).and_then(attached) {
            Some(found) => found.map(Binary).map_err(de::Error::custom),
            None => Err(de::Error::custom("this is no placeholder of an attachment")),
        }
    }
}
