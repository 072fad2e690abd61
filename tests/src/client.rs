//! A client that signs, and that can send any bytes twice.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_guard::session::token::SigningKey;
use portcullis_guard::signature::base::Message;
use portcullis_guard::signature::sign::{Signer, sign, sign_ticket};
use portcullis_guard::signature::ticket::PARAMETER;

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The content.
    pub body: String,
}

impl Answer {
    /// The last segment of the problem's type; empty if it is no problem document.
    #[must_use]
    pub fn problem(&self) -> String {
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let kind = document["type"].as_str().unwrap_or_default();
        kind.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// What the operator looks the refusal up by.
    #[must_use]
    pub fn reference(&self) -> String {
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        document["ref"].as_str().unwrap_or_default().to_owned()
    }

    /// The nonce that the gate wants.
    #[must_use]
    pub fn fresh_nonce(&self) -> Option<String> {
        let field = self.headers.get("accept-signature")?.to_str().ok()?;
        let (_, rest) = field.split_once("nonce=\"")?;
        rest.split_once('"').map(|(nonce, _)| nonce.to_owned())
    }
}

/// What bytes go over.
pub trait Line: Read + Write + Send {}

impl<T: Read + Write + Send> Line for T {}

/// One connection.
pub struct Wire<L: Line = TcpStream>(BufReader<L>);

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("no answer from {address}"))?;
        Self::over(stream)
    }

    /// Uses a connection.
    ///
    /// # Errors
    /// If it is gone.
    pub fn over(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

impl<L: Line> Wire<L> {
    /// Uses something that is connected.
    pub fn of(line: L) -> Self {
        Self(BufReader::new(line))
    }

    /// What it goes over.
    pub fn line(&self) -> &L {
        self.0.get_ref()
    }

    /// Sends bytes and reads one answer.
    ///
    /// # Errors
    /// If the connection ends before the answer does.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<Answer> {
        self.0.get_mut().write_all(bytes).context("failed to send")?;
        self.answer()
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// If the connection ends before the answer does.
    pub fn answer(&mut self) -> Result<Answer> {
        let mut answer = self.head()?;
        let length = answer
            .headers
            .get("content-length")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let body = self.bytes(length).context("the connection ended within the content")?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// If the connection ends before.
    pub fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads until the connection ends.
    ///
    /// # Errors
    /// If it breaks, or does not end.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads the head of one answer.
    ///
    /// # Errors
    /// If the connection ends before it does.
    pub fn head(&mut self) -> Result<Answer> {
        let mut line = String::new();
        ensure!(
            self.0.read_line(&mut line)? > 0,
            "the connection ended without an answer"
        );
        let status = line.split_whitespace().nth(1).and_then(|text| text.parse().ok());
        let status = status.with_context(|| format!("no status line: {line:?}"))?;
        let mut headers = HeaderMap::new();
        loop {
            line.clear();
            ensure!(self.0.read_line(&mut line)? > 0, "the connection ended within the head");
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?);
        }
        Ok(Answer {
            status,
            headers,
            body: String::new(),
        })
    }
}

/// A client with a session.
pub struct Client {
    address: SocketAddr,
    session_id: String,
    key: SigningKey,
    stream: String,
    counter: u64,
    /// Sent as Host, and signed.
    pub host: String,
    /// Sent as User-Agent.
    pub user_agent: String,
    /// Sent with a body.
    pub content_type: String,
}

impl Client {
    /// Opens a `server-key` session.
    ///
    /// # Errors
    /// If the gate does not want to.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Self::open_over(&mut Wire::connect(address)?, address)
    }

    /// Opens a `server-key` session over this connection.
    ///
    /// # Errors
    /// If the gate does not want to.
    pub fn open_over(wire: &mut Wire, address: SocketAddr) -> Result<Self> {
        let body = r#"{"key_agreement":"server-key"}"#;
        let length = body.len();
        let answer = wire.exchange(
            format!(
                "POST /.well-known/portcullis/session HTTP/1.1\r\nhost: {address}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )?;
        Self::from_answer(address, &answer)
    }

    /// The client of a `server-key` session that was opened by this answer.
    ///
    /// # Errors
    /// If it opened none.
    pub fn from_answer(address: SocketAddr, answer: &Answer) -> Result<Self> {
        ensure!(answer.status == 201, "no session: {} {}", answer.status, answer.body);
        let document: serde_json::Value = serde_json::from_str(&answer.body)?;
        let text = |name: &str| {
            document[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        let key = URL_SAFE_NO_PAD.decode(text("key")?)?;
        Ok(Self {
            address,
            session_id: text("session_id")?,
            key: SigningKey(key.try_into().map_err(|_| anyhow::anyhow!("no key of 32 bytes"))?),
            stream: "test-stream".into(),
            counter: 0,
            host: address.to_string(),
            user_agent: "Tester/1".into(),
            content_type: "application/json".into(),
        })
    }

    /// The next request, signed, as bytes.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn request(&mut self, method: &str, target: &str, body: &str) -> Result<Vec<u8>> {
        self.request_at(now(), method, target, body)
    }

    /// A request that claims to be created at this second.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn request_at(&mut self, created: u64, method: &str, target: &str, body: &str) -> Result<Vec<u8>> {
        let nonce = format!("{}.{}", self.stream, self.counter);
        self.counter += 1;
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::try_from(&self.user_agent)?);
        if !body.is_empty() {
            headers.insert("content-type", HeaderValue::try_from(&self.content_type)?);
            headers.insert("content-length", HeaderValue::from(body.len()));
        }
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let authority = self.host.clone();
        let parsed = Method::from_bytes(method.as_bytes())?;
        let message = Message {
            method: &parsed,
            authority: &authority,
            path,
            query,
            headers: &headers,
        };
        let signer = Signer {
            session_id: &self.session_id,
            key: &self.key,
            created,
            nonce: &nonce,
        };
        let signed = sign(&signer, message, body.as_bytes()).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
        for (name, value) in &signed {
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.as_bytes());
        Ok(bytes)
    }

    /// The target of the next request with a ticket instead of a signature in the fields.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn ticket(&mut self, method: &str, target: &str, body: &str) -> Result<String> {
        let nonce = format!("{}.{}", self.stream, self.counter);
        self.counter += 1;
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let message = Message {
            method: &Method::from_bytes(method.as_bytes())?,
            authority: &self.host,
            path,
            query,
            headers: &HeaderMap::new(),
        };
        let signer = Signer {
            session_id: &self.session_id,
            key: &self.key,
            created: now(),
            nonce: &nonce,
        };
        let ticket =
            sign_ticket(&signer, &message, body.as_bytes(), 30).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let separator = if query.is_some() { '&' } else { '?' };
        Ok(format!("{target}{separator}{PARAMETER}={ticket}"))
    }

    /// Sends the next request over a connection of its own.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn call(&mut self, method: &str, target: &str, body: &str) -> Result<Answer> {
        let request = self.request(method, target, body)?;
        Wire::connect(self.address)?.exchange(&request)
    }

    /// Goes on in the stream of a nonce that the gate chose.
    ///
    /// # Errors
    /// If the answer has none.
    pub fn adopt(&mut self, answer: &Answer) -> Result<()> {
        let nonce = answer.fresh_nonce().context("no fresh nonce")?;
        let (stream, counter) = nonce.rsplit_once('.').context("no nonce")?;
        self.stream = stream.to_owned();
        self.counter = counter.parse()?;
        Ok(())
    }

    /// The session id as the gate gave it.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session_id
    }
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Sends bytes over a connection of their own.
///
/// # Errors
/// If there is no answer.
pub fn send(address: SocketAddr, bytes: &[u8]) -> Result<Answer> {
    Wire::connect(address)?.exchange(bytes)
}
