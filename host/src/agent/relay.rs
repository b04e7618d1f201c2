//! Raw bytes between a guest's stream and a socket: TLS begins and ends elsewhere.

use std::sync::Arc;
use std::time::Duration;

use tiltyard_provisioning::channel::{Service, Stream};
use tiltyard_provisioning::charter::BrokerOwner;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::{Agent, Event};

const CONNECT_WAIT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Joins a guest's stream to the broker that the charter names, and to no other address.
pub(super) async fn broker(agent: &Agent, owner: BrokerOwner, stream: Stream) {
    let Some(broker) = agent.charter.brokers.iter().find(|broker| broker.owner == owner) else { return };
    match timeout(CONNECT_WAIT, TcpStream::connect(&broker.address)).await {
        Ok(Ok(socket)) => join(socket, stream).await,
        Ok(Err(error)) => {
            agent.events.send(&Event::Warning { what: format!("broker {}: {error}", broker.address) });
        }
        Err(_) => {
            agent.events.send(&Event::Warning { what: format!("broker {}: no answer", broker.address) });
        }
    }
}

/// Joins every client of the API to a stream of its own.
pub(super) async fn serve_api(agent: Arc<Agent>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    let Some(referee) = agent.referee.get() else { return };
                    // A stream too many: the client sees its connection closed.
                    if let Ok(stream) = referee.open(Service::Api).await {
                        join(socket, stream).await;
                    }
                });
            }
            // Out of descriptors, most likely: better a pause than a spin.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn join(mut socket: TcpStream, stream: Stream) {
    // Small TLS records both ways: waiting for more only costs time.
    let _ = socket.set_nodelay(true);
    // Either side may go away at any time, which ends the other.
    let _ = copy_bidirectional(&mut socket, &mut stream.compat()).await;
}
