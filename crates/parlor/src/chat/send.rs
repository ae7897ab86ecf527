//! `POST /send`: commands in a request's body, and their answers in its response.

use parlor_hub::{Reply, Ticket};
use parlor_net::{Answer, Context, Conversation, Exchange, Opened, Opening};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::SEND_COMMANDS;
use parlor_proto::native::command::{Command, Refused, Request};
use parlor_proto::native::decode::ServerMessage;

use super::native::{Native, To, Wire, error};
use super::{Chat, Wishes};

/// A body of which not every command is answered yet.
pub(super) struct Post {
    answer: Answer,
    replies: Vec<Option<Vec<u8>>>,
    missing: usize,
    /// It was a list, and so is the answer.
    list: bool,
}

impl Post {
    /// Answers what is answered so far: it ends.
    pub(super) fn end(self, refusal: &Refusal) {
        let replies = self.replies.into_iter().map(|reply| reply.unwrap_or_else(|| error(None, refusal)));
        finish(self.answer, self.list, replies.collect());
    }
}

impl Native {
    /// Carries out the commands of a body, in order.
    pub(super) fn post(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        self.post_those(exchange, |_| Ok(()), cx);
    }

    /// The same, but those only that may be.
    fn post_those(
        &mut self,
        exchange: Exchange,
        may: impl Fn(&Command<'_>) -> Result<(), Refusal>,
        cx: &mut Context<'_>,
    ) {
        let Exchange { body, answer, .. } = exchange;
        let refuse =
            |answer: Answer, refusal: &Refusal| answer.json(refusal.code.status(), error(None, refusal));
        let Ok(text) = std::str::from_utf8(&body) else {
            let sentence = "a body is text: one JSON command, or a list of them";
            return refuse(answer, &Refusal::new(Code::UnsupportedData, sentence));
        };
        let list = text.trim_start().starts_with('[');
        let requests = match Request::parse_batch(text) {
            Ok(requests) if requests.len() > SEND_COMMANDS => {
                return refuse(
                    answer,
                    &Refusal::too_large("the list of commands", requests.len(), SEND_COMMANDS),
                );
            }
            Ok(requests) => requests,
            Err(refused) => return refuse(answer, &refused.refusal),
        };
        if requests.is_empty() {
            return answer.json(200, b"[]".to_vec());
        }
        let number = self.next_post;
        self.next_post += 1;
        let missing = requests.len();
        let replies = requests.iter().map(|_| None).collect();
        self.posts.insert(number, Post { answer, replies, missing, list });
        for (index, request) in requests.into_iter().enumerate() {
            let request = request.and_then(|request| match may(&request.command) {
                Ok(()) => Ok(request),
                Err(refusal) => Err(Refused { id: request.id, refusal }),
            });
            self.request(request, Vec::new(), To { post: Some((number, index)), ..To::default() }, cx);
        }
    }

    /// Notes the answer to one of a body's commands; the last one sends them all.
    pub(super) fn answer_post(&mut self, (number, index): (u64, usize), object: Vec<u8>) {
        let Some(post) = self.posts.get_mut(&number) else { return };
        let Some(reply @ None) = post.replies.get_mut(index) else { return };
        *reply = Some(object);
        post.missing -= 1;
        if post.missing > 0 {
            return;
        }
        if let Some(post) = self.posts.remove(&number) {
            finish(post.answer, post.list, post.replies.into_iter().flatten().collect());
        }
    }
}

/// One answer with its own status, or a list, which is as well as its parts.
fn finish(answer: Answer, list: bool, replies: Vec<Vec<u8>>) {
    match &replies[..] {
        [reply] if !list => {
            let status = match std::str::from_utf8(reply).ok().map(ServerMessage::parse) {
                Some(Ok(ServerMessage::Error(error))) => Code::parse(&error.code).map_or(500, Code::status),
                _ => 200,
            };
            answer.json(status, replies.concat());
        }
        _ => answer.json(200, [b"[".as_slice(), &replies.join(&b','), b"]"].concat()),
    }
}

/// A connection that is made for one request.
struct Sender {
    native: Native,
}

pub(super) async fn open(chat: &Chat, opening: Opening) -> Result<Opened, Refusal> {
    let now = opening.now;
    let mut wishes = Wishes::read(&opening);
    // Rooms are entered by connections that stay.
    wishes.rooms = Vec::new();
    let (login, rooms) = chat.identify(now, wishes).await?;
    let author = Some(login.author().clone());
    let native = Native::new(chat.clone(), login, Wire::Native, rooms, Vec::new(), now);
    Ok(Opened { conversation: Box::new(Sender { native }), author, protocol: None })
}

impl Sender {
    fn end_when_answered(&self, cx: &mut Context<'_>) {
        if self.native.posts.is_empty() {
            cx.close(CloseCode::NORMAL, "");
        }
    }
}

/// What needs a connection that stays.
fn may(command: &Command<'_>) -> Result<(), Refusal> {
    match command {
        Command::Join { .. } | Command::Leave { .. } | Command::Auth { .. } | Command::Call { .. } => {
            let sentence =
                "this command is for a connection: send its `session` in the header Parlor-Session";
            Err(Refusal::new(Code::NotJoined, sentence))
        }
        _ => Ok(()),
    }
}

impl Conversation for Sender {
    fn opened(&mut self, _cx: &mut Context<'_>) {}

    fn receive(&mut self, _message: parlor_net::Incoming<'_>, _cx: &mut Context<'_>) {}

    fn exchange(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        self.native.post_those(exchange, may, cx);
        self.end_when_answered(cx);
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        self.native.reply(ticket, result, cx);
        self.end_when_answered(cx);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.native.poll(cx);
        self.end_when_answered(cx);
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        self.native.closed(code, reason, cx);
    }
}
