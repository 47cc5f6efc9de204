//! A whole session, seen from the engine's side: a fake receiver on the other end of a pipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse};
use bollard_buildkit_proto::moby::filesync::v1::{BytesMessage, CredentialsRequest, CredentialsResponse};
use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::packet::{Kind, Packet, Stat};
use super::walk::mode;
use super::*;

mod calls;
mod dockerfile;
mod exports;
mod faults;
mod flow;
mod hostile;
mod trees;

/// The engine's end of a session.
#[derive(Clone)]
struct Engine {
    sender: hyper::client::conn::http2::SendRequest<Body>,
}

/// What became of a transfer: every stat, and the content of every file that was asked for.
#[derive(Debug, Default)]
struct Received {
    stats: Vec<Stat>,
    content: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Received {
    fn paths(&self) -> Vec<String> {
        self.stats.iter().map(|stat| stat.path.escape_ascii().to_string()).collect()
    }

    fn stat(&self, path: &str) -> &Stat {
        self.stats.iter().find(|stat| stat.path == path.as_bytes()).unwrap_or_else(|| panic!("{path} was not sent"))
    }
}

impl Engine {
    /// Serves `attachables` on one end of a pipe and connects to the other.
    async fn connect(attachables: Attachables) -> Self {
        let (near, far) = tokio::io::duplex(256 * 1024);
        tokio::spawn(serve(far, attachables));
        Self::on(near).await
    }

    async fn on(io: DuplexStream) -> Self {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1 << 20).initial_connection_window_size(4 << 20).max_frame_size(1 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    fn grpc(
        &self,
    ) -> tonic::client::Grpc<impl tonic::client::GrpcService<Body, ResponseBody = hyper::body::Incoming> + use<>> {
        let sender = self.sender.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| sender.clone().send_request(request));
        tonic::client::Grpc::with_origin(service, http::Uri::from_static("http://session"))
            .max_decoding_message_size(usize::MAX)
    }

    async fn unary<Q, A>(&self, method: &'static str, question: Q) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|_| Status::unavailable("the session is over"))?;
        let codec = ProstCodec::<Q, A>::default();
        Ok(grpc.unary(Request::new(question), PathAndQuery::from_static(method), codec).await?.into_inner())
    }

    async fn open(&self, ask: &Ask) -> Result<Transfer, Status> {
        let (requests, receiver) = mpsc::channel(1024);
        let mut request = Request::new(ReceiverStream::new(receiver));
        *request.metadata_mut() = ask.metadata();
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|_| Status::unavailable("the session is over"))?;
        let codec = ProstCodec::<Packet, Packet>::default();
        let response = grpc.streaming(request, PathAndQuery::from_static(methods::FILE_SYNC), codec).await?;
        Ok(Transfer { requests, packets: response.into_inner() })
    }

    /// A transfer from beginning to end, asking for all content, as the engine does when it has nothing yet.
    async fn sync(&self, ask: Ask) -> Result<Received, Failed> {
        let mut transfer = self.open(&ask).await?;
        let mut received = Received::default();
        let mut awaited = BTreeMap::new();
        let mut walked = false;
        loop {
            let packet = transfer.next().await?;
            match packet.kind() {
                Kind::Stat => match packet.stat {
                    None => walked = true,
                    Some(stat) => {
                        let id = u32::try_from(received.stats.len()).unwrap();
                        if stat.mode & mode::TYPE == 0 && stat.linkname.is_empty() {
                            awaited.insert(id, (stat.path.clone(), Vec::new()));
                            transfer.send(Kind::Req, id).await;
                        }
                        received.stats.push(stat);
                    }
                },
                Kind::Data if packet.data.is_empty() => {
                    let (path, content) = awaited.remove(&packet.id).expect("data of a file that was asked for");
                    received.content.insert(path, content);
                }
                Kind::Data => {
                    assert!(packet.data.len() <= 1 << 20, "engine 20.10 refuses large messages");
                    awaited.get_mut(&packet.id).unwrap().1.extend(&packet.data);
                }
                Kind::Err => return Err(Failed::Told(String::from_utf8_lossy(&packet.data).into_owned())),
                Kind::Fin => {
                    assert_eq!(transfer.packets.message().await?, None, "nothing follows a FIN");
                    return Ok(received);
                }
                Kind::Req => panic!("a sender asks for nothing"),
            }
            if walked && awaited.is_empty() {
                transfer.send(Kind::Fin, 0).await;
                walked = false;
            }
        }
    }
}

/// How a transfer failed.
#[derive(Debug)]
enum Failed {
    /// By a packet, with the reason.
    Told(String),
    /// By the call's status.
    Status(Status),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

struct Transfer {
    requests: mpsc::Sender<Packet>,
    packets: Streaming<Packet>,
}

impl Transfer {
    async fn next(&mut self) -> Result<Packet, Status> {
        self.packets.message().await?.ok_or_else(|| Status::unknown("the sender left early"))
    }

    async fn send(&self, kind: Kind, id: u32) {
        // A sender that has given up takes no more requests, and says why in a packet.
        let _ = self.requests.send(Packet { kind: kind.into(), id, ..Packet::default() }).await;
    }
}

/// The metadata of a call.
#[derive(Default, Clone)]
struct Ask {
    directory: &'static str,
    include: Vec<&'static str>,
    exclude: Vec<&'static str>,
    follow: Vec<&'static str>,
}

impl Ask {
    fn context() -> Self {
        Self { directory: "context", ..Self::default() }
    }

    fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", self.directory.parse().unwrap());
        let lists =
            [("include-patterns", &self.include), ("exclude-patterns", &self.exclude), ("followpaths", &self.follow)];
        for (key, values) in lists {
            for value in values {
                metadata.append(key, MetadataValue::try_from(value.as_bytes()).unwrap());
            }
        }
        metadata
    }
}

/// A session that lends `directory` as the context.
fn lending(directory: &Path) -> Attachables {
    let dirs = BTreeMap::from([("context".to_owned(), directory.to_owned().into())]);
    Attachables { dirs, ..Attachables::default() }
}

fn write(root: &Path, path: &[u8], content: &[u8]) {
    let place = root.join(std::ffi::OsStr::from_bytes(path));
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, content).unwrap();
}
