//! The multiplexer over an in-memory pipe: volume both ways, many streams, hostile peers.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures::executor::block_on;
use futures::future::{self, Either, join, join_all, select};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Cursor};
use tiltyard_provisioning::channel::{
    Ack, ChannelError, End, GuestState, Incoming, MESSAGE_MAX_BYTES, PREAMBLE, STREAMS_MAX, Service, Stream,
    StreamOpener, mux, read_message, read_message_or_end, write_message,
};

const PIPE_BYTES: usize = 8 * 1024;
const VOLUME_BYTES: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Half {
    bytes: VecDeque<u8>,
    closed: bool,
    waiting: Vec<Waker>,
}

/// One end of a bounded duplex pipe.
struct Pipe {
    read: Arc<Mutex<Half>>,
    write: Arc<Mutex<Half>>,
}

fn pipe() -> (Pipe, Pipe) {
    let (a, b) = (Arc::<Mutex<Half>>::default(), Arc::<Mutex<Half>>::default());
    (Pipe { read: a.clone(), write: b.clone() }, Pipe { read: b, write: a })
}

fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap()
}

impl Half {
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.read);
        if half.bytes.is_empty() && !half.closed {
            half.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        let n = buf.len().min(half.bytes.len());
        for (to, from) in buf.iter_mut().zip(half.bytes.drain(..n)) {
            *to = from;
        }
        half.wake();
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut half = lock(&self.write);
        if half.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(PIPE_BYTES - half.bytes.len());
        if n == 0 {
            half.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        half.bytes.extend(&buf[..n]);
        half.wake();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut half = lock(&self.write);
        half.closed = true;
        half.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for half in [&self.read, &self.write] {
            let mut half = lock(half);
            half.closed = true;
            half.wake();
        }
    }
}

type Side = (StreamOpener, Incoming);

/// Runs `work` against a connected pair, with both drivers beside it.
fn with_pair<F, W, O>(work: F) -> O
where
    F: FnOnce(Side, Side) -> W,
    W: Future<Output = O>,
{
    let (host_carrier, guest_carrier) = pipe();
    let (host, host_in, host_driver) = mux(host_carrier, End::Host);
    let (guest, guest_in, guest_driver) = mux(guest_carrier, End::Guest);
    let drivers = Box::pin(join(host_driver, guest_driver));
    let work = Box::pin(work((host, host_in), (guest, guest_in)));
    match block_on(select(work, drivers)) {
        Either::Left((out, _)) => out,
        Either::Right((ended, _)) => panic!("a driver ended first: {ended:?}"),
    }
}

fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ (i >> 8) as u8).collect()
}

#[test]
fn sixteen_mebibytes_each_way_at_once() {
    with_pair(|(host, _host_in), (_guest, mut guest_in)| async move {
        let (up, down) = (pattern(1, VOLUME_BYTES), pattern(2, VOLUME_BYTES));
        let (host_end, guest_end) = join(host.open(Service::Api), guest_in.next()).await;
        let (service, guest_end) = guest_end.unwrap();
        assert_eq!(service, Service::Api);
        let both = |stream: Stream, bytes: Vec<u8>| async move {
            let (mut read, mut write) = stream.split();
            let send = async {
                write.write_all(&bytes).await.unwrap();
                write.close().await.unwrap();
            };
            let receive = async {
                let mut got = Vec::new();
                read.read_to_end(&mut got).await.unwrap();
                got
            };
            join(send, receive).await.1
        };
        let (got_down, got_up) =
            join(both(host_end.unwrap(), up.clone()), both(guest_end, down.clone())).await;
        assert!(got_up == up && got_down == down, "bytes differ");
    });
}

#[test]
fn sixty_four_streams_and_the_next_one_is_refused() {
    with_pair(|(host, _host_in), (_guest, mut guest_in)| async move {
        let serve = async {
            for _ in 0..STREAMS_MAX {
                let (service, mut stream) = guest_in.next().await.unwrap();
                assert_eq!(service, Service::Broker(tiltyard_provisioning::charter::BrokerOwner::Owner));
                let state: GuestState = read_message(&mut stream, 1024).await.unwrap();
                write_message(&mut stream, &state).await.unwrap();
            }
            guest_in
        };
        let ask = async {
            let mut streams = Vec::new();
            for n in 0..STREAMS_MAX {
                let service = Service::Broker(tiltyard_provisioning::charter::BrokerOwner::Owner);
                let mut stream = host.open(service).await.unwrap();
                write_message(&mut stream, &GuestState::Failed { code: n.to_string() }).await.unwrap();
                streams.push(stream);
            }
            assert!(matches!(host.open(Service::Api).await, Err(ChannelError::Streams)));
            let answers = streams.iter_mut().map(|s| read_message::<_, GuestState>(s, 1024));
            for (n, answer) in join_all(answers).await.into_iter().enumerate() {
                assert_eq!(answer.unwrap(), GuestState::Failed { code: n.to_string() });
            }
            streams.pop();
            host.open(Service::Api).await.unwrap();
        };
        join(serve, ask).await;
    });
}

#[test]
fn an_unknown_service_is_closed_and_the_next_stream_still_arrives() {
    let (host_carrier, guest_carrier) = pipe();
    let (_host, mut host_in, host_driver) = mux(host_carrier, End::Host);
    let work = async move {
        let mut carrier = guest_carrier;
        hello(&mut carrier, b"tiltyard.guest\0\0").await;
        let mut raw = yamux::Connection::new(carrier, yamux::Config::default(), yamux::Mode::Server);
        let mut bad = future::poll_fn(|cx| raw.poll_new_outbound(cx)).await.unwrap();
        let mut good = future::poll_fn(|cx| raw.poll_new_outbound(cx)).await.unwrap();
        let drive = future::poll_fn(move |cx| raw.poll_next_inbound(cx).map(|_| ()));
        let talk = async {
            bad.write_all(b"steal-the-keys\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").await.unwrap();
            assert_eq!(bad.read(&mut [0; 1]).await.unwrap(), 0);
            good.write_all(&Service::State.to_bytes()).await.unwrap();
            assert_eq!(host_in.next().await.unwrap().0, Service::State);
        };
        select(Box::pin(talk), drive).await;
    };
    block_on(select(Box::pin(work), Box::pin(host_driver)));
}

async fn hello(carrier: &mut Pipe, id: &[u8; 16]) {
    carrier.write_all(PREAMBLE).await.unwrap();
    carrier.write_all(id).await.unwrap();
}

/// What the host's driver ends with when the peer sends `bytes` and nothing else.
fn driver_against(bytes: &[u8]) -> Result<(), ChannelError> {
    let (host_carrier, mut peer) = pipe();
    let (_opener, _incoming, driver) = mux(host_carrier, End::Host);
    let feed = async move {
        let (mut read, mut write) = (&mut peer).split();
        let drain = async { futures::io::copy(&mut read, &mut futures::io::sink()).await };
        let send = async {
            let _ = write.write_all(bytes).await;
            write.close().await
        };
        let _ = join(drain, send).await;
    };
    block_on(join(driver, feed)).0
}

#[test]
fn hostile_preambles_are_refused() {
    let with_id = |id: &[u8; 16]| [&PREAMBLE[..], &id[..]].concat();
    let cases: [(&str, Vec<u8>); 6] = [
        ("nothing", Vec::new()),
        ("wrong version", b"TILTYARD-MUX/2\ntiltyard.guest\0\0".to_vec()),
        ("cut inside the id", b"TILTYARD-MUX/1\ntiltyard".to_vec()),
        ("echo of our own", with_id(b"tiltyard.host\0\0\0")),
        ("unknown id", with_id(b"0123456789abcdef")),
        ("garbage without end", vec![b'T'; 100_000]),
    ];
    for (name, bytes) in cases {
        let ended = driver_against(&bytes);
        assert!(
            matches!(ended, Err(ChannelError::Preamble { expected: End::Guest, .. })),
            "{name}: {ended:?}"
        );
    }
}

#[test]
fn bytes_of_an_earlier_process_are_discarded() {
    let stale = [b"\x00\x01half a frame TILTYARD-MUX/".as_slice(), PREAMBLE, b"tiltyard.guest\0\0"].concat();
    assert!(driver_against(&stale).is_ok());
}

#[test]
fn an_oversized_or_malformed_multiplexer_frame_ends_the_channel() {
    let hello = [&PREAMBLE[..], b"tiltyard.guest\0\0"].concat();
    // version 0, data, SYN, stream 2, 4 GiB - 1.
    let oversized = [0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff];
    let wrong_version = [9, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1];
    for frame in [oversized, wrong_version] {
        let ended = driver_against(&[hello.clone(), frame.to_vec()].concat());
        assert!(matches!(ended, Err(ChannelError::Protocol(_))), "{ended:?}");
    }
}

#[test]
fn a_multiplexer_frame_cut_short_ends_the_channel() {
    let cut = [&PREAMBLE[..], b"tiltyard.guest\0\0", &[0, 0, 0, 1, 0, 0]].concat();
    // Ends rather than waits; an end inside a frame is the peer's death, and streams see their own end.
    let _ = driver_against(&cut);
}

fn read_from(bytes: &[u8], max: u32) -> Result<Option<Ack>, ChannelError> {
    block_on(read_message_or_end(&mut Cursor::new(bytes), max))
}

#[test]
fn messages_over_their_limit_truncated_or_malformed_are_refused() {
    let framed = |json: &[u8]| [&(json.len() as u32).to_be_bytes()[..], json].concat();
    assert_eq!(read_from(&framed(b"\"done\""), 64).unwrap(), Some(Ack::Done));
    assert_eq!(read_from(b"", 64).unwrap(), None);
    assert!(matches!(
        read_from(&framed(&[b' '; 65]), 64),
        Err(ChannelError::MessageTooLarge { max: 64, got: 65 })
    ));
    assert!(matches!(
        read_from(&u32::MAX.to_be_bytes(), u32::MAX),
        Err(ChannelError::MessageTooLarge { max: MESSAGE_MAX_BYTES, .. })
    ));
    assert!(matches!(read_from(&[0, 0], 64), Err(ChannelError::Truncated { expected: 4, got: 2 })));
    assert!(matches!(
        read_from(&framed(b"\"done\"")[..7], 64),
        Err(ChannelError::Truncated { expected: 6, got: 3 })
    ));
    for bad in [&b"\"dune\""[..], b"\"done\" 1", b"{\"refused\":{\"code\":\"a\",\"code\":\"b\"}}", b"\xff"] {
        assert!(matches!(read_from(&framed(bad), 64), Err(ChannelError::Syntax { .. })), "{bad:?}");
    }
}

#[test]
fn errors_do_not_repeat_what_the_peer_said() {
    let json = b"{\"refused\":{\"code\":1,\"hunter2\":1}}";
    let framed = [&(json.len() as u32).to_be_bytes()[..], json].concat();
    assert!(!read_from(&framed, 64).unwrap_err().to_string().contains("hunter2"));
}

#[test]
fn closing_sends_what_was_written_first() {
    let (host_carrier, guest_carrier) = pipe();
    let (host, _host_in, host_driver) = mux(host_carrier, End::Host);
    let (_guest, mut guest_in, guest_driver) = mux(guest_carrier, End::Guest);
    let host_work = async {
        let mut stream = host.open(Service::Config).await.unwrap();
        write_message(&mut stream, &Ack::Done).await.unwrap();
        stream.close().await.unwrap();
        host.close();
    };
    let guest_work = async {
        let (_, mut stream) = guest_in.next().await.unwrap();
        let got: Ack = read_message(&mut stream, 64).await.unwrap();
        assert_eq!(got, Ack::Done);
        assert!(read_message_or_end::<_, Ack>(&mut stream, 64).await.unwrap().is_none());
        assert!(guest_in.next().await.is_none());
    };
    let (_, (drivers, _)) =
        (&host, block_on(join(join(host_driver, guest_driver), join(host_work, guest_work))));
    drivers.0.unwrap();
    drivers.1.unwrap();
}
