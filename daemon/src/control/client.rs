//! The side of the command line: one blocking request for each question.

mod follow;
mod query;
mod upload;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::api::{
    AllowAdded, AllowList, AllowRequest, Allowed, Audit, Ban, BanAdded, BanCheck, BanEdit, BanList, BanQuery,
    BanRequest, ConfirmRequest, Ended, Flushed, Imported, ImportsUnderWay, Incident, IncidentList, KeyRotated,
    ModeRequest, ModeState, PREFIX, Problem, RecordedCalls, Recording, RecordingRequest, ReloadRequest, Reloaded,
    RuleList, RulesDiffer, SessionEnded, SessionList, SessionRestored, SessionTimeline, Stats, Status, StoreReport,
    Undone,
};

use query::{with_queries, with_query};
pub use upload::Sent;
use upload::Upload;

/// A daemon that takes longer than this has stalled.
const PATIENCE: Duration = Duration::from_secs(10);
/// For what is only nice to know.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// For work on a million bans.
const LONG_PATIENCE: Duration = Duration::from_secs(180);
/// The longest answer that is read: a full ban list has some 200 bytes for each entry.
const LONGEST_ANSWER: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or nobody serves it.
    #[error("portcullis is not running: {}", reason(.path, .source))]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("no permission to use {}", .path.display())]
    NoPermission {
        /// The socket.
        path: PathBuf,
    },
    /// The connection failed for another reason.
    #[error("failed to connect to {}: {source}", .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("portcullis does not answer on {} within {seconds} seconds", .path.display())]
    Stalled {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What came back is not what this version understands.
    #[error("{} gave an answer that this version does not understand: {detail}", .path.display())]
    NotUnderstood {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The daemon understood, and says no.
    #[error("{}", .0.detail)]
    Refused(Problem),
}

fn reason(path: &Path, source: &io::Error) -> String {
    if source.kind() == io::ErrorKind::NotFound {
        format!("there is no socket {}", path.display())
    } else {
        format!("nobody serves {}", path.display())
    }
}

/// Asks the daemon behind one socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// A client of the socket at `path`. Does not connect yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The state of the daemon.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.exchange(Method::GET, "/status", Upload::default(), LONG_PATIENCE)
    }

    /// What live views show.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stats(&self) -> Result<Stats, ClientError> {
        self.get("/stats")
    }

    /// The state, after the kernel was compared with the intention and repaired.
    pub fn verify(&self) -> Result<Status, ClientError> {
        self.exchange(Method::POST, "/verify", Upload::default(), LONG_PATIENCE)
    }

    /// Some bans.
    pub fn bans(&self, query: &BanQuery) -> Result<BanList, ClientError> {
        let number = query.limit.map(|limit| limit.to_string());
        let (within, after) = (
            query.within.map(|net| net.to_string()),
            query.after.map(|net| net.to_string()),
        );
        self.get(&with_queries(
            "/bans",
            &[
                ("origin", query.origin.as_deref()),
                ("list", query.list.as_deref()),
                ("within", within.as_deref()),
                ("text", query.text.as_deref()),
                ("sort", query.sort.as_deref()),
                ("limit", number.as_deref()),
                ("after", after.as_deref()),
            ],
        ))
    }

    /// Changes the ban of a network.
    pub fn edit(&self, network: IpNet, edit: &BanEdit) -> Result<Ban, ClientError> {
        let body = serde_json::to_vec(edit).map_err(|error| self.not_understood(&error))?;
        let path = with_query("/bans", "network", &network.to_string());
        self.exchange(Method::PATCH, &path, Upload::new(body, Sent::default()), PATIENCE)
    }

    /// Imports a list; `options` are the parameters of the query.
    pub fn import(&self, options: &[(&str, Option<&str>)], file: Vec<u8>, sent: Sent) -> Result<Imported, ClientError> {
        let path = with_queries("/bans/import", options);
        self.exchange(Method::POST, &path, Upload::new(file, sent), LONG_PATIENCE)
    }

    /// Imports under way.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn imports(&self) -> Result<ImportsUnderWay, ClientError> {
        self.exchange(Method::GET, "/bans/import", Upload::default(), SHORT_PATIENCE)
    }

    /// Ends many bans.
    pub fn flush(&self, origin: Option<&str>, list: Option<&str>) -> Result<Flushed, ClientError> {
        let path = with_queries("/bans/all", &[("origin", origin), ("list", list)]);
        self.exchange(Method::DELETE, &path, Upload::default(), LONG_PATIENCE)
    }

    /// Takes the last change back.
    pub fn undo(&self) -> Result<Undone, ClientError> {
        self.exchange(Method::POST, "/undo", Upload::default(), LONG_PATIENCE)
    }

    /// Has the daemon read its store, and with `compact` shrink it first.
    pub fn store(&self, compact: bool) -> Result<StoreReport, ClientError> {
        let path = if compact { "/store/compact" } else { "/store/check" };
        self.exchange(Method::POST, path, Upload::default(), LONG_PATIENCE)
    }

    /// What operators did, the newest first.
    pub fn audit(&self, limit: usize) -> Result<Audit, ClientError> {
        self.get(&with_query("/audit", "limit", &limit.to_string()))
    }

    /// Bans a network, or changes its ban.
    pub fn ban(&self, order: &BanRequest) -> Result<BanAdded, ClientError> {
        self.post("/bans", order)
    }

    /// Ends a ban and returns it.
    pub fn unban(&self, network: IpNet) -> Result<Ban, ClientError> {
        self.delete(&with_query("/bans", "network", &network.to_string()))
    }

    /// What happens to an address.
    pub fn check(&self, address: IpAddr) -> Result<BanCheck, ClientError> {
        self.get(&with_query("/bans/check", "address", &address.to_string()))
    }

    /// The never-ban set.
    pub fn allowed(&self) -> Result<AllowList, ClientError> {
        self.get("/allow")
    }

    /// Puts a network into the never-ban set.
    pub fn allow(&self, entry: &AllowRequest) -> Result<AllowAdded, ClientError> {
        self.post("/allow", entry)
    }

    /// Takes a network out of the never-ban set and returns the entry.
    pub fn disallow(&self, network: IpNet) -> Result<Allowed, ClientError> {
        self.delete(&with_query("/allow", "network", &network.to_string()))
    }

    /// The rules in force.
    pub fn rules(&self) -> Result<RuleList, ClientError> {
        self.get("/rules")
    }

    /// Has the gate read its rules anew.
    pub fn reload_rules(&self, request: &ReloadRequest) -> Result<RulesDiffer, ClientError> {
        self.post("/rules/reload", request)
    }

    /// Has the gate record calls.
    pub fn record(&self, request: RecordingRequest) -> Result<Recording, ClientError> {
        self.post("/recording", &request)
    }

    /// How the recording goes.
    pub fn recording(&self) -> Result<Recording, ClientError> {
        self.get("/recording")
    }

    /// Some of the calls that were recorded.
    pub fn recorded(&self, from: usize) -> Result<RecordedCalls, ClientError> {
        self.get(&with_query("/recording/calls", "from", &from.to_string()))
    }

    /// Ends and forgets the recording.
    pub fn forget_recording(&self) -> Result<(), ClientError> {
        self.delete("/recording")
    }

    /// Whether verdicts have consequences.
    pub fn mode(&self) -> Result<ModeState, ClientError> {
        self.get("/mode")
    }

    /// Changes that.
    pub fn set_mode(&self, request: &ModeRequest) -> Result<ModeState, ClientError> {
        self.post("/mode", request)
    }

    /// Ends the trial of a change.
    pub fn confirm(&self, request: &ConfirmRequest) -> Result<Ended, ClientError> {
        self.post("/confirm", request)
    }

    /// Has the gate read its whole configuration anew.
    pub fn reload(&self, request: &ReloadRequest) -> Result<Reloaded, ClientError> {
        self.post("/reload", request)
    }

    /// The sessions that the gate remembers.
    pub fn sessions(&self) -> Result<SessionList, ClientError> {
        self.get("/sessions")
    }

    /// What a session did and what was said to it. `id` has no characters that need encoding.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn timeline(&self, id: &str) -> Result<SessionTimeline, ClientError> {
        self.get(&format!("/sessions/{id}/timeline"))
    }

    /// Ends a session. `id` has no characters that need encoding.
    pub fn revoke(&self, id: &str) -> Result<SessionEnded, ClientError> {
        self.delete(&format!("/sessions/{id}"))
    }

    /// Takes the end of a session back. `id` has no characters that need encoding.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn restore(&self, id: &str) -> Result<SessionRestored, ClientError> {
        self.post(&format!("/sessions/{id}/restore"), &())
    }

    /// Seals session ids under a new key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rotate_key(&self) -> Result<KeyRotated, ClientError> {
        self.post("/session-keys", &())
    }

    /// One refusal. `reference` has no characters that need encoding.
    pub fn incident(&self, reference: &str) -> Result<Incident, ClientError> {
        self.get(&format!("/incidents/{reference}"))
    }

    /// The last refusals, the newest first.
    pub fn incidents(&self, limit: usize) -> Result<IncidentList, ClientError> {
        self.get(&with_query("/incidents", "limit", &limit.to_string()))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::GET, path, Upload::default(), PATIENCE)
    }

    fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::DELETE, path, Upload::default(), PATIENCE)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.not_understood(&error))?;
        self.exchange(Method::POST, path, Upload::new(body, Sent::default()), PATIENCE)
    }

    fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Upload,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{PREFIX}{path}"))
            .header(http::header::HOST, "portcullis")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| self.not_understood(&error))?;
        let answer = self.send(request, patience)?;
        if answer.status().is_success() {
            serde_json::from_slice(answer.body()).map_err(|error| self.not_understood(&error))
        } else {
            Err(self.refusal(&answer))
        }
    }

    fn send(&self, request: Request<Upload>, patience: Duration) -> Result<Response<Bytes>, ClientError> {
        self.runtime()?.block_on(async {
            match tokio::time::timeout(patience, self.converse(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.stalled(patience)),
            }
        })
    }

    fn runtime(&self) -> Result<Runtime, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|source| ClientError::Connect {
            path: self.path.clone(),
            source,
        })
    }

    async fn converse(&self, request: Request<Upload>) -> Result<Response<Bytes>, ClientError> {
        let mut sender = self.connect().await?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| self.not_understood(&error))?;
        self.read_whole(answer).await
    }

    /// A conversation that goes on in the background.
    async fn connect(&self) -> Result<SendRequest<Upload>, ClientError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| self.cannot_connect(error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.not_understood(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn read_whole(&self, answer: Response<Incoming>) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| self.not_understood(&error))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    fn stalled(&self, patience: Duration) -> ClientError {
        ClientError::Stalled {
            path: self.path.clone(),
            seconds: patience.as_secs(),
        }
    }

    fn cannot_connect(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NotRunning { path, source }
        } else if kind == io::ErrorKind::PermissionDenied {
            ClientError::NoPermission { path }
        } else {
            ClientError::Connect { path, source }
        }
    }

    fn refusal(&self, answer: &Response<Bytes>) -> ClientError {
        match serde_json::from_slice(answer.body()) {
            Ok(problem) => ClientError::Refused(problem),
            Err(_) => self.not_understood(&status_line(answer.status())),
        }
    }

    fn not_understood(&self, detail: &impl ToString) -> ClientError {
        ClientError::NotUnderstood {
            path: self.path.clone(),
            detail: detail.to_string(),
        }
    }
}

fn status_line(status: StatusCode) -> String {
    format!("status {status} without a problem document")
}
