//! TLS 1.3 and HTTP around [`Core`](crate::Core): sockets, limits, deadlines, and nothing that decides.

mod http;
mod tls;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Core;
pub(crate) use tls::acceptor;

/// Connections of one peer address at a time; further ones are closed at once.
const CONNECTIONS_PER_PEER: usize = 64;
/// Connections of all peers.
const CONNECTIONS: usize = 512;
/// For the TLS handshake, and for the head of each request.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// For one connection, however busy: a guest that needs longer connects again.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(600);

/// Serves until `stop` completes; connections that are open then are cut.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    server_spki: Vec<u8>,
    core: Arc<Core>,
    stop: impl Future<Output = ()>,
) {
    let peers = Arc::new(Peers::default());
    let server_spki: Arc<[u8]> = server_spki.into();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, most likely: wait for connections to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Some(seat) = peers.seat(peer) else { continue };
        let (acceptor, core, server_spki) = (acceptor.clone(), Arc::clone(&core), Arc::clone(&server_spki));
        tokio::spawn(async move {
            let work = connection(stream, acceptor, server_spki, core);
            // What a peer does wrong ends its own connection; there is nobody to tell.
            let _ = tokio::time::timeout(CONNECTION_DEADLINE, work).await;
            drop(seat);
        });
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, server_spki: Arc<[u8]>, core: Arc<Core>) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HEADER_DEADLINE, acceptor.accept(stream)).await else {
        return;
    };
    let stream = tls::SharedStream::new(stream, server_spki);
    let service = TowerToHyperService::new(http::router(core, stream.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Open connections, by peer address.
#[derive(Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place among its peer's; given back on drop.
struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    fn seat(self: &Arc<Self>, peer: SocketAddr) -> Option<Seat> {
        let mut open = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.entry(peer.ip()).or_default();
        if *own >= CONNECTIONS_PER_PEER || all >= CONNECTIONS {
            return None;
        }
        *own += 1;
        Some(Seat { peers: Arc::clone(self), peer: peer.ip() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_gets_its_seats_and_no_more_until_one_is_free() {
        let peers = Arc::new(Peers::default());
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut seats: Vec<_> = (0..CONNECTIONS_PER_PEER).map(|_| peers.seat(peer).unwrap()).collect();
        assert!(peers.seat(peer).is_none());
        assert!(peers.seat(SocketAddr::from(([192, 0, 2, 2], 1))).is_some());
        seats.pop();
        assert!(peers.seat(peer).is_some());
    }
}
