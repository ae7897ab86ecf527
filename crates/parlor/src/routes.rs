//! Raw WebSocket routes: a path, an `async` handler, and the conversation that joins the two.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use matchit::Params;
use parlor_hub::encode::WireFormat;
use parlor_net::{Context, Conversation, EngineIo, Incoming, Opened, Opening, Route};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::engineio::Revision;
use parlor_proto::limits::{FRAGMENTS, NATIVE_MESSAGE, RAW_MESSAGE_MAX};
use parlor_proto::ws::{Kind, deflate};
use percent_encoding::percent_decode_str;
use tokio::task::unconstrained;

use crate::page::{self, Page};
use crate::pipe::Pipe;
use crate::rooms::Place;
use crate::websocket::{Message, Request, WebSocket};

/// How a raw route is spoken.
#[derive(Clone, Copy, Debug)]
pub struct RouteOptions {
    /// Bytes of one message, at most 16 MiB; a longer one ends the connection with 1009.
    pub max_message: usize,
    /// Frames of one message.
    pub max_fragments: u32,
    /// Agree to permessage-deflate (RFC 7692) when the client offers it.
    pub compression: bool,
    /// What a plain request gets.
    pub plain: Plain,
}

/// What a GET of a raw route gets that does not ask for a WebSocket. A [`page`](crate::Server::page) at the same path
/// goes first.
#[derive(Clone, Copy, Debug, Default)]
pub enum Plain {
    /// 426 and a sentence that says which headers are missing.
    #[default]
    Explained,
    /// 426 and this page, with the headers of [`Server::page`](crate::Server::page).
    Page(&'static str),
    /// 404: nobody is told that there is a route.
    NotFound,
}

impl Default for RouteOptions {
    /// 1 MB, 1,024 frames, no compression; plain requests have it explained.
    fn default() -> RouteOptions {
        RouteOptions {
            max_message: NATIVE_MESSAGE,
            max_fragments: FRAGMENTS as u32,
            compression: false,
            plain: Plain::default(),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handler whose future's type is forgotten, so that routes can stand in one list.
#[derive(Clone)]
pub(crate) struct RawRoute {
    options: RouteOptions,
    engine_io: Option<EngineIo>,
    /// What [`Plain::Page`] says.
    page: Option<Page>,
    handler: Arc<dyn Fn(WebSocket) -> Running + Send + Sync>,
}

impl RawRoute {
    pub(crate) fn new<F, R>(options: RouteOptions, handler: F) -> RawRoute
    where
        F: Fn(WebSocket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let page = match options.plain {
            Plain::Page(html) => Some(Page::new(html)),
            Plain::Explained | Plain::NotFound => None,
        };
        let handler = Arc::new(handler);
        RawRoute {
            options,
            engine_io: None,
            page,
            handler: Arc::new(move |socket| {
                let handler = Arc::clone(&handler);
                // All that it does is done on the worker, where a panic is noticed. A worker polls all its handlers in
                // one task of tokio's, whose budget they would use up for each other.
                Box::pin(unconstrained(async move { handler(socket).await }))
            }),
        }
    }

    /// The same over Engine.IO.
    pub(crate) fn over_engine_io(mut self, settings: EngineIo) -> RawRoute {
        self.options.max_message = settings.max_payload;
        self.engine_io = Some(settings);
        self
    }

    pub(crate) fn route(&self) -> Route {
        Route {
            max_message: self.options.max_message.min(RAW_MESSAGE_MAX),
            max_fragments: self.options.max_fragments,
            deflate: self.options.compression.then(deflate::Settings::default),
            format: WireFormat::Raw,
            engine_io: self.engine_io,
            http: None,
        }
    }

    /// The answer to a request that does not ask for a WebSocket; `None`: net explains.
    pub(crate) fn plain(&self) -> Option<Response<Body>> {
        match (self.options.plain, &self.page) {
            (Plain::Explained, _) => None,
            (Plain::NotFound, _) => Some(page::not_found()),
            (Plain::Page(_), page) => page.as_ref().map(|page| {
                let mut response = page.response(StatusCode::UPGRADE_REQUIRED);
                // RFC 9110 section 15.5.22: the answer says to what.
                response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                response
            }),
        }
    }

    pub(crate) fn open(&self, opening: Opening, params: &Params<'_, '_>) -> Result<Opened, Refusal> {
        let params = params.iter().map(|(name, value)| {
            let value = percent_decode_str(value).decode_utf8().map_err(|_| {
                Refusal::new(
                    Code::BadMessage,
                    format!("{name} in the path is not UTF-8; percent-encode UTF-8"),
                )
            })?;
            Ok((name.to_owned(), value.into_owned()))
        });
        let params = params.collect::<Result<_, Refusal>>()?;
        let pipe = Arc::new(Pipe::default());
        let Opening { uri, headers, address, revision, .. } = opening;
        // Polling or not, what the hub pushes to a session is a message of its revision.
        let format = match revision {
            None => WireFormat::Raw,
            Some(Revision::V3) => WireFormat::EngineIoV3,
            Some(Revision::V4) => WireFormat::EngineIo,
        };
        let request = Arc::new(Request { uri, headers, address, params });
        let running = (self.handler)(WebSocket { pipe: Arc::clone(&pipe), request });
        let conversation = Box::new(Raw { pipe, format, running: Some(running) });
        Ok(Opened { conversation, author: None, protocol: None })
    }
}

impl fmt::Debug for RawRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRoute").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A raw connection: its handler's future, polled on the connection's worker.
struct Raw {
    pipe: Arc<Pipe>,
    /// How its rooms' messages are written.
    format: WireFormat,
    /// `None` once the handler has returned.
    running: Option<Running>,
}

impl Raw {
    fn run(&mut self, cx: &mut Context<'_>) {
        self.pipe.begin_run();
        if let Some(running) = &mut self.running {
            let waker = cx.waker();
            let mut task = task::Context::from_waker(&waker);
            // A panic ends this connection and nothing else; the hook has reported it.
            match std::panic::catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(())) => self.running = None,
                Err(_) => {
                    self.running = None;
                    cx.close(CloseCode::INTERNAL, "the handler failed");
                }
            }
        }
        let outgoing = self.pipe.take_outgoing(cx.queued());
        for message in outgoing.messages {
            match message {
                Message::Text(text) => cx.send(Kind::Text, text),
                Message::Binary(binary) => cx.send(Kind::Binary, binary),
            }
        }
        if let Some((code, reason)) = outgoing.close {
            cx.close(CloseCode(code), reason);
        }
        cx.pause_reading(outgoing.full);
    }
}

impl Conversation for Raw {
    fn opened(&mut self, cx: &mut Context<'_>) {
        self.pipe.attach(cx.waker());
        let (hub, connection) = (Arc::clone(cx.hub()), cx.connection());
        self.pipe.membership().begin(Place { hub, connection, format: self.format });
        self.run(cx);
    }

    fn receive(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        let message = match message {
            Incoming::Text(text) => Message::Text(text.to_owned()),
            Incoming::Binary(binary) => Message::Binary(binary.to_vec().into()),
        };
        if !self.pipe.deliver(message, &cx.waker()) {
            cx.pause_reading(true);
        }
        self.run(cx);
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.run(cx);
    }

    fn drained(&mut self, _cx: &mut Context<'_>) {
        self.pipe.drained();
    }

    /// From here on nothing may be pushed to it.
    fn closing(&mut self, _code: CloseCode, _retry_after: Option<Duration>, _cx: &mut Context<'_>) {
        self.pipe.membership().end();
        self.pipe.leave();
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        self.pipe.membership().end();
        self.pipe.end(code, reason);
        // The handler hears of it now. One that goes on after that runs as a task of its own.
        self.run(cx);
        if let Some(running) = self.running.take() {
            tokio::spawn(running);
        }
    }
}
