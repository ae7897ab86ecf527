//! What each command of the native protocol asks of the hub.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::command::Publish;
use parlor_hub::engine::{Begin, Range};
use parlor_hub::mailbox::{ReadNotice, ReadPlace};
use parlor_hub::{Author, Command, Form, Hub};
use parlor_net::Context;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{DATA, PAGE_MESSAGES, ROOMS_LISTED};
use parlor_proto::name::{RoomName, UserName};
use parlor_proto::native::command as wire;
use parlor_proto::native::encode::{self, Of};
use parlor_proto::socketio::Arguments;

use super::inbox;
use super::native::{Asked, Missed, Native, Then, To, error};

impl Native {
    /// Carries out one command. Replies come later, except where the answer is known; a refusal is the caller's to
    /// send.
    pub(super) fn carry_out(
        &mut self,
        request: wire::Request<'_>,
        attachments: Vec<Bytes>,
        to: &To,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let publishes = matches!(request.command, wire::Command::Publish(_) | wire::Command::Direct { .. });
        self.admit(publishes, cx.now())?;
        let to = to.clone();
        let asked = |to| Asked { to, with: None, missed: Missed::NotAsked };
        match request.command {
            wire::Command::Publish(publish) => {
                let (data, form) = data_and_form(publish.data.get(), attachments)?;
                let command = Command::Publish(Publish {
                    room: RoomName::parse(&publish.room)?,
                    event: event(&publish.event),
                    data,
                    form,
                    author: Some(self.login.author().clone()),
                    to: None,
                    key: publish.key.map(Arc::from),
                    echo: publish.echo,
                    store: publish.store,
                    delivery: None,
                });
                self.ask(asked(to), command, cx);
            }
            wire::Command::Direct { to: other, data, event: name, key } => {
                let (data, form) = data_and_form(data.get(), attachments)?;
                let publish = |room, author, to| Publish {
                    room,
                    event: event(&name),
                    data,
                    form,
                    author: Some(author),
                    to: Some(to),
                    key: key.map(Arc::from),
                    echo: true,
                    store: true,
                    delivery: None,
                };
                self.direct(to, &other, publish, cx)?;
            }
            wire::Command::Join { room, begin } => {
                let begin = match begin {
                    wire::Begin::Since(since) => Some(Begin::Since(since)),
                    wire::Begin::Last(0) => None,
                    wire::Begin::Last(n) => Some(Begin::Last(n)),
                };
                let room = RoomName::parse(&room)?;
                let written = self.session.as_mut().map(|session| session.joins(&room));
                let asked = Asked { to, with: None, missed: Missed::of(begin) };
                self.ask_after(written, asked, Command::Join { room, begin, format: None }, cx);
            }
            wire::Command::Leave { room } => {
                let room = RoomName::parse(&room)?;
                let written = self.session.as_mut().map(|session| session.leaves(&room));
                self.ask_after(written, asked(to), Command::Leave { room }, cx);
            }
            wire::Command::Members { room } => {
                self.ask(asked(to), Command::Members { room: RoomName::parse(&room)? }, cx);
            }
            wire::Command::Rooms { prefix, after, limit } => {
                let limit = limit.unwrap_or(ROOMS_LISTED as u32).clamp(1, ROOMS_LISTED as u32);
                let prefix = prefix.map(Cow::into_owned).unwrap_or_default();
                self.ask(asked(to), Command::Rooms { prefix, after: after.map(Cow::into_owned), limit }, cx);
            }
            wire::Command::History { of, range, limit } => self.history(to, of, range, limit, cx)?,
            wire::Command::Read { of, offset } => self.read(to, of, offset, cx)?,
            wire::Command::Auth { token } => self.auth(to, &token, cx)?,
            wire::Command::Call { .. } => {
                return Err(Refusal::new(
                    Code::Unavailable,
                    "calls need an application behind this server; none is set",
                ));
            }
            wire::Command::Ping => {
                let mut out = Vec::new();
                encode::pong(&mut out, to.id());
                self.say(&to, out, cx);
            }
        }
        Ok(())
    }

    /// Gives the hub a command, once what it changes is written down.
    fn ask_after(
        &mut self,
        written: Option<impl Future<Output = ()> + Send + 'static>,
        asked: Asked,
        command: Command,
        cx: &mut Context<'_>,
    ) {
        let Some(written) = written else { return self.ask(asked, command, cx) };
        let command = Box::new(command);
        let then = async move {
            written.await;
            Then::Ask(asked, command)
        };
        self.start(Box::pin(then), cx);
    }

    fn direct(
        &mut self,
        to: To,
        other: &str,
        publish: impl FnOnce(RoomName, Author, Author) -> Publish,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let other = UserName::parse(other)?;
        let me = self.login.author().clone();
        let now = cx.now();
        // The command is made now, with an empty recipient, so that nothing borrowed has to wait.
        let nobody = Author { user: "".into(), name: "".into() };
        let mut command = publish(RoomName::internal(""), me.clone(), nobody);
        let accounts = Arc::clone(&self.chat.accounts);
        let engine = Arc::clone(self.hub().engine());
        self.start(
            Box::pin(async move {
                let found = async {
                    let found = accounts.find(other.as_str(), now).await?;
                    let other = found.ok_or_else(|| Refusal::no_such_user(other.as_str()))?;
                    inbox::note(engine, me.clone(), other.clone(), now).await?;
                    Ok(other)
                };
                match found.await {
                    Ok(other) => {
                        command.room = Hub::direct_room(&me, &other);
                        command.to = Some(other.clone());
                        Then::Ask(
                            Asked { to, with: Some(other), missed: Missed::NotAsked },
                            Box::new(Command::Publish(command)),
                        )
                    }
                    Err(refusal) => {
                        let text = error(to.id(), &refusal);
                        Then::Say(to, text)
                    }
                }
            }),
            cx,
        );
        Ok(())
    }

    fn history(
        &mut self,
        to: To,
        of: wire::Conversation<'_>,
        range: wire::Range,
        limit: Option<u32>,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let range = match range {
            wire::Range::Newest => Range::Before(None),
            wire::Range::Before(since) => Range::Before(Some(since.offset())),
            wire::Range::After(since) => Range::After(since.offset()),
        };
        let limit = limit.unwrap_or(PAGE_MESSAGES as u32).clamp(1, PAGE_MESSAGES as u32);
        let history = move |room| Command::History { room, range, limit };
        let with = match of {
            wire::Conversation::Room(room) => {
                let room = RoomName::parse(&room)?;
                self.ask(Asked { to, with: None, missed: Missed::NotAsked }, history(room), cx);
                return Ok(());
            }
            wire::Conversation::With(name) => UserName::parse(&name)?,
        };
        let (accounts, me, now) = (Arc::clone(&self.chat.accounts), self.login.author().clone(), cx.now());
        self.start(
            Box::pin(async move {
                match accounts.find(with.as_str(), now).await {
                    Ok(Some(other)) => {
                        let room = Hub::direct_room(&me, &other);
                        Then::Ask(
                            Asked { to, with: Some(other), missed: Missed::NotAsked },
                            Box::new(history(room)),
                        )
                    }
                    Ok(None) => {
                        let text = error(to.id(), &Refusal::no_such_user(with.as_str()));
                        Then::Say(to, text)
                    }
                    Err(refusal) => {
                        let text = error(to.id(), &refusal);
                        Then::Say(to, text)
                    }
                }
            }),
            cx,
        );
        Ok(())
    }

    fn read(
        &mut self,
        to: To,
        of: wire::Conversation<'_>,
        offset: u64,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        enum Of_ {
            Room(RoomName),
            With(UserName),
        }
        let of = match of {
            wire::Conversation::Room(room) => Of_::Room(RoomName::parse(&room)?),
            wire::Conversation::With(name) => Of_::With(UserName::parse(&name)?),
        };
        let (chat, me, now) = (self.chat.clone(), self.login.author().clone(), cx.now());
        self.start(
            Box::pin(async move {
                let done = async {
                    let (room, other) = match of {
                        Of_::Room(room) => (room, None),
                        Of_::With(name) => {
                            let found = chat.accounts.find(name.as_str(), now).await?;
                            let other = found.ok_or_else(|| Refusal::no_such_user(name.as_str()))?;
                            (Hub::direct_room(&me, &other), Some(other))
                        }
                    };
                    let policy = chat.hub.policy(&room);
                    let head = super::store::wait(|done| chat.hub.engine().head(&room, policy, done)).await?;
                    // Nobody has read what is not there yet.
                    let offset = chat.accounts.read(&me.user, &room, offset.min(head.offset));
                    chat.accounts.keep_read(&me.user, &room, offset, now).await?;
                    Ok((room, other, offset))
                };
                let mut out = Vec::new();
                match done.await {
                    Ok((room, other, offset)) => {
                        let of = other
                            .as_ref()
                            .map_or(Of::Room(&room), |other| Of::With(parlor_hub::encode::member(other)));
                        encode::read(&mut out, to.id(), of, &me.user, offset);
                        let user = Arc::clone(&me.user);
                        if let Some(other) = other {
                            let place = ReadPlace::With(me);
                            let notice = ReadNotice::new(place, Arc::clone(&user), offset);
                            chat.hub.notify_read(std::slice::from_ref(&other.user), notice);
                            let notice = ReadNotice::new(ReadPlace::With(other), Arc::clone(&user), offset);
                            chat.hub.notify_read(&[user], notice);
                        } else {
                            let notice = ReadNotice::new(ReadPlace::Room(room), Arc::clone(&user), offset);
                            chat.hub.notify_read(&[user], notice);
                        }
                    }
                    Err(refusal) => out = error(to.id(), &refusal),
                }
                Then::Say(to, out)
            }),
            cx,
        );
        Ok(())
    }

    fn auth(&mut self, to: To, token: &str, cx: &mut Context<'_>) -> Result<(), Refusal> {
        if !self.login.accepts(token) {
            let sentence = "this token is not this connection's; connect with it instead";
            return Err(Refusal::new(Code::Unauthenticated, sentence));
        }
        let proven = self.login.prove(cx.now());
        self.start(
            Box::pin(async move {
                let mut out = Vec::new();
                match proven.await {
                    Ok(()) => encode::ok(&mut out, to.id()),
                    Err(refusal) => out = error(to.id(), &refusal),
                }
                Then::Say(to, out)
            }),
            cx,
        );
        Ok(())
    }
}

/// What is published for a client's `data`, in which placeholders stand for attachments.
fn data_and_form(data: &str, attachments: Vec<Bytes>) -> Result<(Arc<str>, Form), Refusal> {
    if attachments.is_empty() {
        return Ok((data.into(), Form::Value));
    }
    let attached: usize = attachments.iter().map(Bytes::len).sum();
    if data.len() + attached > DATA {
        return Err(Refusal::too_large("data", data.len() + attached, DATA));
    }
    let arguments = Arguments::parse(&format!("[{data}]"), attachments);
    let bad = |error| Refusal::new(Code::BadMessage, format!("data and its attachments do not fit: {error}"));
    Ok(Form::of(&arguments.map_err(bad)?))
}

/// `None` for the usual event, which the hub shares.
fn event(name: &str) -> Option<Arc<str>> {
    (name != "message").then(|| name.into())
}
