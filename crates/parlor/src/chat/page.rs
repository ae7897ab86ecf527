//! `Page`: messages as one answer has them. A client of Socket.IO gets bytes in them as attachments, of which a packet
//! holds ten: a page ends before there are more.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::encode::{WireFormat, entry_with};
use parlor_hub::{Form, Publication};
use parlor_net::Context;
use parlor_proto::limits::ATTACHMENTS;
use parlor_proto::native::encode::Entry;
use serde_json::Value;

use super::native::Wire;

/// An object on its way to a client: in it placeholders stand for the attachments.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) object: Vec<u8>,
    pub(super) attachments: Vec<Bytes>,
    /// What its page had no room for follows as ordinary messages.
    rest: Vec<Arc<Publication>>,
}

impl From<Vec<u8>> for Answer {
    fn from(object: Vec<u8>) -> Answer {
        Answer { object, ..Answer::default() }
    }
}

impl Answer {
    /// Sends what follows the object.
    pub(super) fn send_rest(self, cx: &mut Context<'_>) {
        if !self.rest.is_empty() {
            cx.send_publications(WireFormat::SocketIoNative, self.rest);
        }
    }
}

/// Messages, and the bytes in them.
pub(super) struct Page<'m> {
    messages: &'m [Arc<Publication>],
    data: Vec<Cow<'m, str>>,
    attachments: Vec<Bytes>,
    rest: &'m [Arc<Publication>],
}

impl<'m> Page<'m> {
    /// The first of these messages, as many as this wire takes in one packet.
    pub(super) fn first(messages: &'m [Arc<Publication>], wire: Wire) -> Page<'m> {
        let (messages, rest) = messages.split_at(fit(messages.iter(), wire));
        Page::new(messages, rest, wire)
    }

    /// The last of them.
    pub(super) fn last(messages: &'m [Arc<Publication>], wire: Wire) -> Page<'m> {
        let (rest, messages) = messages.split_at(messages.len() - fit(messages.iter().rev(), wire));
        Page::new(messages, rest, wire)
    }

    fn new(messages: &'m [Arc<Publication>], rest: &'m [Arc<Publication>], wire: Wire) -> Page<'m> {
        let mut attachments = Vec::new();
        let data = messages.iter().map(|message| match attached(message, wire) {
            [] => Cow::Borrowed(message.json()),
            bytes => {
                let data = message.arguments().text_numbered_from(attachments.len());
                attachments.extend_from_slice(bytes);
                Cow::Owned(data)
            }
        });
        let data = data.collect();
        Page { messages, data, attachments, rest }
    }

    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        self.messages.iter().zip(&self.data).map(|(message, data)| entry_with(message, data)).collect()
    }

    /// Whether there were more messages than it has.
    pub(super) fn is_cut(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The object in which it stands, on its way.
    pub(super) fn within(self, object: Vec<u8>) -> Answer {
        Answer { object, attachments: self.attachments, rest: Vec::new() }
    }

    /// The same; what it has no room for follows.
    pub(super) fn within_and_rest(self, object: Vec<u8>) -> Answer {
        Answer { object, attachments: self.attachments, rest: self.rest.to_vec() }
    }
}

/// How many messages one packet takes: none of its placeholders may stand for what belongs to another message.
fn fit<'m>(messages: impl Iterator<Item = &'m Arc<Publication>>, wire: Wire) -> usize {
    let (mut count, mut pretends) = (0, false);
    let fits = |message: &&'m Arc<Publication>| {
        let bytes = attached(message, wire);
        count += bytes.len();
        pretends |= wire == Wire::SocketIo && bytes.is_empty() && has_placeholder(message.json());
        count <= ATTACHMENTS && !(count > 0 && pretends)
    };
    messages.take_while(fits).count()
}

/// The attachments of a message, of which a client of Socket.IO gets the data alone.
fn attached(message: &Publication, wire: Wire) -> &[Bytes] {
    match &message.form {
        Form::Attached { count: 1, attachments, .. }
            if wire == Wire::SocketIo && attachments.len() <= ATTACHMENTS =>
        {
            attachments
        }
        _ => &[],
    }
}

/// Whether a client would see a placeholder in a value that has no attachments, however its letters are written.
fn has_placeholder(json: &str) -> bool {
    const NAME: &str = "_placeholder";
    let plain = |json: &str| {
        serde_json::from_str(json).map_or_else(|_| json.to_owned(), |value: Value| value.to_string())
    };
    json.contains(NAME) || (json.contains("\\u") && plain(json).contains(NAME))
}
