//! nginx as the application, for its parser.

use std::cell::Cell;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::send;
use tempfile::TempDir;

/// One that hands on to itself what it has read whole, and writes that down.
pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
    home: TempDir,
    told: Cell<usize>,
}

impl Nginx {
    pub(super) fn start() -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let home = TempDir::new()?;
        let at = home.path().display().to_string();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/errors;\nevents {{ worker_connections 512; }}\n\
             http {{ map $http_content_length $length {{ \"\" 0; default $http_content_length; }}\n\
             log_format seen \"$request_method $request_uri $length\"; access_log off; lingering_close off;\n\
             client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;\n\
             scgi_temp_path {at}/s;\n\
             server {{ listen {address}; location / {{ proxy_pass http://unix:{at}/sink; }} }}\n\
             server {{ listen unix:{at}/sink; access_log {at}/seen seen; location / {{ return 200 ok; }} }} }}\n"
        );
        let file = home.path().join("nginx.conf");
        fs::write(&file, text)?;
        let mut nginx = Command::new("nginx");
        let child = nginx
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .context("nginx is needed")?;
        let told = Cell::new(0);
        let this = Self {
            child,
            address,
            home,
            told,
        };
        this.wait_for(|| Ok(TcpStream::connect(address).is_ok()))?;
        Ok(this)
    }

    fn wait_for(&self, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so()? {
            ensure!(Instant::now() < deadline, "nginx does not come so far");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it understood since the last time. One worker writes its log in order: what is there before the question came
    /// before it.
    pub(super) fn seen(&self) -> Result<Vec<String>> {
        send(
            self.address,
            b"GET /seen HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )?;
        let file = self.home.path().join("seen");
        let text = || anyhow::Ok(fs::read_to_string(&file)?.split_off(self.told.get()));
        self.wait_for(|| Ok(text()?.ends_with("GET /seen 0\n")))?;
        let text: String = text()?;
        self.told.set(self.told.get() + text.len());
        let lines = text.lines().filter(|line| *line != "GET /seen 0");
        Ok(lines.map(str::to_owned).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
