//! The multiplexer: one carrier, many streams, each opened by the name of its service.
//!
//! Sans-runtime: the driver is a future that the caller spawns, and everything else talks to it.
//! Both ends send [`PREAMBLE`] and their end's name first and discard input until they have seen the
//! peer's, because a virtio-serial port can still hold bytes of an earlier process. Then `yamux`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{MESSAGE_MAX_BYTES, SERVICE_NAME_BYTES, Service};

/// First bytes on a carrier, in both directions; the sender's 16-byte channel id follows.
pub const PREAMBLE: &[u8; 15] = b"TILTYARD-MUX/1\n";
/// Input discarded in search of the preamble, at most, in bytes.
pub const PREAMBLE_DISCARD_MAX_BYTES: usize = 64 * 1024;
/// Streams opened by one end and not yet dropped, at most.
pub const STREAMS_MAX: usize = 64;
/// Inbound streams that have not named their service yet, at most.
pub const HALF_OPEN_MAX: usize = 16;

/// Receive window of one stream, in bytes; it never grows.
const WINDOW_BYTES: usize = 256 * 1024;
/// Streams known to yamux: both ends' and as many again that are closing. Beyond it the peer is cut off.
const YAMUX_STREAMS_MAX: usize = 4 * STREAMS_MAX;

/// Which end of the carrier this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Host,
    Guest,
}

/// Why a channel, a stream or a message failed. Each names what the peer or the carrier did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// `MuxPreamble`: the carrier does not lead to the other end.
    #[error(
        "channel: expected the preamble TILTYARD-MUX/1 of the {expected:?} end, found {got}\n  check that the carrier leads to a guest of this version"
    )]
    Preamble { expected: End, got: &'static str },
    /// `MuxStreams`: a stream too many.
    #[error("channel: expected at most {STREAMS_MAX} open streams, asked for one more\n  close one first")]
    Streams,
    /// `MuxFrame`: a message over its limit.
    #[error("channel: expected a message of at most {max} bytes, found {got}")]
    MessageTooLarge { max: u32, got: u64 },
    /// The stream ended inside a message.
    #[error("channel: expected {expected} bytes of a message, found {got} and the end of the stream")]
    Truncated { expected: u64, got: u64 },
    /// The message is not the document that this service carries.
    #[error("channel: message is not the expected document ({what} error at column {column})")]
    Syntax { what: &'static str, column: usize },
    /// `MuxFrame`: the peer broke the multiplexer's protocol.
    #[error("channel: the peer broke the multiplexing protocol: {0}")]
    Protocol(String),
    /// The driver has ended: the peer is gone or the channel was closed.
    #[error("channel: closed")]
    Closed,
    #[error("channel: {0}")]
    Io(#[from] io::Error),
}

/// Opens streams to the peer; clones share one channel.
#[derive(Debug, Clone)]
pub struct StreamOpener {
    commands: mpsc::UnboundedSender<Command>,
    open: Arc<AtomicUsize>,
}

/// Streams that the peer opened, with their services.
#[derive(Debug)]
pub struct Incoming {
    streams: mpsc::Receiver<(Service, Stream)>,
}

/// One stream: bytes both ways. Closing it ends the sending half; dropping it ends both.
#[derive(Debug)]
pub struct Stream {
    inner: yamux::Stream,
    _permit: Permit,
}

/// Puts a multiplexer on `carrier`: what opens streams, what receives them, and the future that
/// moves the bytes, which the caller spawns.
///
/// The driver ends with `Ok` when the peer closes the carrier or [`StreamOpener::close`] was called,
/// and has no deadline of its own: a caller that waits for the peer sets one.
pub fn mux<T>(
    carrier: T,
    end: End,
) -> (StreamOpener, Incoming, impl Future<Output = Result<(), ChannelError>> + Send)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (commands, requests) = mpsc::unbounded();
    let (arrivals, streams) = mpsc::channel(STREAMS_MAX);
    let opener = StreamOpener { commands, open: Arc::default() };
    (opener, Incoming { streams }, drive(carrier, end, requests, arrivals))
}

impl StreamOpener {
    /// Opens a stream to `service` of the peer. Waits for the driver, not for the peer.
    pub async fn open(&self, service: Service) -> Result<Stream, ChannelError> {
        let permit = Permit::take(&self.open, STREAMS_MAX).ok_or(ChannelError::Streams)?;
        let (answer, opened) = oneshot::channel();
        self.commands.unbounded_send(Command::Open(answer)).map_err(|_| ChannelError::Closed)?;
        let mut inner = opened.await.map_err(|_| ChannelError::Closed)?;
        inner.write_all(&service.to_bytes()).await?;
        Ok(Stream { inner, _permit: permit })
    }

    /// Sends what streams have written so far, then closes the carrier. Open streams end.
    pub fn close(&self) {
        // A driver that is gone has closed already.
        let _ = self.commands.unbounded_send(Command::Close);
    }
}

impl Incoming {
    /// The next stream whose service is known; `None` once the channel is closed.
    pub async fn next(&mut self) -> Option<(Service, Stream)> {
        self.streams.next().await
    }
}

/// Writes one message: u32be length, then JSON; flushed.
pub async fn write_message<S, T>(stream: &mut S, message: &T) -> Result<(), ChannelError>
where
    S: AsyncWrite + Unpin,
    T: Serialize,
{
    let json = serde_json::to_vec(message).map_err(|error| syntax(&error))?;
    let len = u32::try_from(json.len())
        .ok()
        .filter(|len| *len <= MESSAGE_MAX_BYTES)
        .ok_or(ChannelError::MessageTooLarge { max: MESSAGE_MAX_BYTES, got: json.len() as u64 })?;
    stream.write_all(&len.to_be_bytes()).await?;
    stream.write_all(&json).await?;
    Ok(stream.flush().await?)
}

/// Reads one message of at most `max_bytes`; the end of the stream is an error.
pub async fn read_message<S, T>(stream: &mut S, max_bytes: u32) -> Result<T, ChannelError>
where
    S: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    read_message_or_end(stream, max_bytes).await?.ok_or(ChannelError::Truncated { expected: 4, got: 0 })
}

/// Reads one message of at most `max_bytes`; `None` when the stream ends before its first byte.
pub async fn read_message_or_end<S, T>(stream: &mut S, max_bytes: u32) -> Result<Option<T>, ChannelError>
where
    S: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    let mut head = Vec::with_capacity(4);
    (&mut *stream).take(4).read_to_end(&mut head).await?;
    let Ok(len) = <[u8; 4]>::try_from(head.as_slice()).map(u32::from_be_bytes) else {
        let got = head.len() as u64;
        return if got == 0 { Ok(None) } else { Err(ChannelError::Truncated { expected: 4, got }) };
    };
    let max = max_bytes.min(MESSAGE_MAX_BYTES);
    if len > max {
        return Err(ChannelError::MessageTooLarge { max, got: len.into() });
    }
    // Grows with what arrives: a length alone makes nobody allocate.
    let mut json = Vec::new();
    stream.take(len.into()).read_to_end(&mut json).await?;
    if json.len() as u64 != u64::from(len) {
        return Err(ChannelError::Truncated { expected: len.into(), got: json.len() as u64 });
    }
    serde_json::from_slice(&json).map(Some).map_err(|error| syntax(&error))
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[derive(Debug)]
enum Command {
    Open(oneshot::Sender<yamux::Stream>),
    Close,
}

/// A place among the streams that one end may have open.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        open.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).ok()?;
        Some(Self(Arc::clone(open)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl End {
    fn peer(self) -> Self {
        match self {
            Self::Host => Self::Guest,
            Self::Guest => Self::Host,
        }
    }

    /// Names the sender, so that a carrier that echoes is told from a peer.
    fn channel_id(self) -> &'static [u8; 16] {
        match self {
            Self::Host => b"tiltyard.host\0\0\0",
            Self::Guest => b"tiltyard.guest\0\0",
        }
    }

    fn mode(self) -> yamux::Mode {
        match self {
            Self::Host => yamux::Mode::Client,
            Self::Guest => yamux::Mode::Server,
        }
    }
}

async fn drive<T>(
    mut carrier: T,
    end: End,
    requests: mpsc::UnboundedReceiver<Command>,
    arrivals: mpsc::Sender<(Service, Stream)>,
) -> Result<(), ChannelError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    exchange_preambles(&mut carrier, end).await?;
    let mut config = yamux::Config::default();
    // The stream limit first: the crate asserts that the window covers it.
    config.set_max_num_streams(YAMUX_STREAMS_MAX);
    config.set_max_connection_receive_window(Some(YAMUX_STREAMS_MAX * WINDOW_BYTES));
    let mut driver = Driver {
        connection: yamux::Connection::new(carrier, config, end.mode()),
        requests,
        arrivals,
        waiting: VecDeque::new(),
        naming: FuturesUnordered::new(),
        inbound: Arc::default(),
    };
    match std::future::poll_fn(|cx| driver.poll(cx)).await? {
        Ended::ByPeer => Ok(()),
        Ended::Close => {
            let Driver { connection, .. } = &mut driver;
            std::future::poll_fn(|cx| connection.poll_close(cx)).await.map_err(from_yamux)
        }
    }
}

/// Why the driver stopped.
enum Ended {
    ByPeer,
    Close,
}

type Naming = Pin<Box<dyn Future<Output = Option<(Service, yamux::Stream, Permit)>> + Send>>;

struct Driver<T> {
    connection: yamux::Connection<T>,
    requests: mpsc::UnboundedReceiver<Command>,
    arrivals: mpsc::Sender<(Service, Stream)>,
    /// Requests for streams that yamux has not granted yet.
    waiting: VecDeque<oneshot::Sender<yamux::Stream>>,
    /// Inbound streams whose service name is being read.
    naming: FuturesUnordered<Naming>,
    /// Inbound streams that are alive.
    inbound: Arc<AtomicUsize>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ended, ChannelError>> {
        loop {
            let mut progress = false;
            while let Poll::Ready(Some(command)) = self.requests.poll_next_unpin(cx) {
                match command {
                    Command::Open(answer) => self.waiting.push_back(answer),
                    Command::Close => return Poll::Ready(Ok(Ended::Close)),
                }
            }
            while !self.waiting.is_empty() {
                let stream = match self.connection.poll_new_outbound(cx) {
                    Poll::Ready(Ok(stream)) => stream,
                    Poll::Ready(Err(yamux::ConnectionError::Closed)) => {
                        return Poll::Ready(Ok(Ended::ByPeer));
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(from_yamux(error))),
                    Poll::Pending => break,
                };
                progress = true;
                if let Some(answer) = self.waiting.pop_front() {
                    // Whoever asked may have given up; the stream is then dropped unopened.
                    let _ = answer.send(stream);
                }
            }
            while let Poll::Ready(Some(named)) = self.naming.poll_next_unpin(cx) {
                progress = true;
                if let Some((service, inner, permit)) = named {
                    // A full queue or a receiver that is gone: the stream is dropped, which closes it.
                    let _ = self.arrivals.try_send((service, Stream { inner, _permit: permit }));
                }
            }
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    progress = true;
                    self.receive(stream);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(from_yamux(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(Ended::ByPeer)),
                Poll::Pending => {}
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Takes an inbound stream in to learn its name, or drops it when there are too many.
    fn receive(&mut self, mut stream: yamux::Stream) {
        if self.naming.len() >= HALF_OPEN_MAX {
            return;
        }
        let Some(permit) = Permit::take(&self.inbound, STREAMS_MAX) else { return };
        self.naming.push(Box::pin(async move {
            let mut name = [0; SERVICE_NAME_BYTES];
            stream.read_exact(&mut name).await.ok()?;
            Some((Service::from_bytes(&name)?, stream, permit))
        }));
    }
}

async fn exchange_preambles<T>(carrier: &mut T, end: End) -> Result<(), ChannelError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello = PREAMBLE.to_vec();
    hello.extend_from_slice(end.channel_id());
    carrier.write_all(&hello).await?;
    carrier.flush().await?;

    let expected = end.peer();
    let refuse = |got| ChannelError::Preamble { expected, got };
    let mut window = [0; PREAMBLE.len()];
    let mut byte = [0];
    // One byte at a time: what follows belongs to the multiplexer.
    for _ in 0..PREAMBLE_DISCARD_MAX_BYTES {
        if carrier.read(&mut byte).await? == 0 {
            return Err(refuse("the end of the stream"));
        }
        window.rotate_left(1);
        window[PREAMBLE.len() - 1] = byte[0];
        if window == *PREAMBLE {
            let mut id = [0; 16];
            carrier.read_exact(&mut id).await.map_err(|_| refuse("the end of the stream"))?;
            return if id == *expected.channel_id() {
                Ok(())
            } else if id == *end.channel_id() {
                Err(refuse("its own, echoed"))
            } else {
                Err(refuse("another channel id"))
            };
        }
    }
    Err(refuse("64 KiB of other bytes"))
}

fn from_yamux(error: yamux::ConnectionError) -> ChannelError {
    match error {
        yamux::ConnectionError::Io(error) => ChannelError::Io(error),
        yamux::ConnectionError::Closed => ChannelError::Closed,
        other => ChannelError::Protocol(other.to_string()),
    }
}

/// Keeps the place and drops the words: serde quotes the input.
fn syntax(error: &serde_json::Error) -> ChannelError {
    let what = match error.classify() {
        serde_json::error::Category::Io => "input",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "data",
        serde_json::error::Category::Eof => "end of input",
    };
    ChannelError::Syntax { what, column: error.column() }
}
