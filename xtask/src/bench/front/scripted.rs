//! nginx with scripts that check what haproxy checks: the same requests, by Lua with a rate and a table of nonces, and by
//! njs with the HMAC and the time alone, as it has no tables in the version that Debian has.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::peers::{KEY, Peer, free, start_nginx};

/// Where Debian puts modules of nginx.
const MODULES: &str = "/usr/lib/nginx/modules";

/// Run at the start: HMAC of OpenSSL, which nginx is linked with anyway.
const LUA_START: &str = r#"
local ffi = require "ffi"
ffi.cdef[[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_length, const unsigned char *data, size_t length,
                    unsigned char *out, unsigned int *out_length);
]]
local out, length, sha256, key = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]"), ffi.C.EVP_sha256(), "KEY"
function check()
    local var = ngx.var
    if var.uri == "/" then return end
    local ts, nonce, sig = var.http_x_ts, var.http_x_nonce, var.http_x_sig
    if not ts or not nonce or not sig then return ngx.exit(403) end
    local age = ngx.time() - (tonumber(ts) or 0)
    if age > 300 or age < -5 then return ngx.exit(403) end
    local base = table.concat({ var.request_method, var.http_host, var.uri, var.args or "", ts, nonce }, "\n")
    ffi.C.HMAC(sha256, key, #key, base, #base, out, length)
    if ngx.encode_base64(ffi.string(out, 32)) ~= sig then return ngx.exit(403) end
    if ngx.shared.rates:incr(var.binary_remote_addr, 1, 0, 10) > 100000000 then return ngx.exit(429) end
    if not ngx.shared.nonces:add(nonce, true, 300) then return ngx.exit(403) end
end
"#;

const NJS: &str = r"
import crypto from 'crypto';
function check(r) {
    const fields = r.headersIn, ts = fields['x-ts'], nonce = fields['x-nonce'], sig = fields['x-sig'];
    if (r.uri === '/') { r.internalRedirect('@app'); return; }
    const age = Date.now() / 1000 - Number(ts);
    if (!(age <= 300 && age >= -5) || !nonce || !sig) { r.return(403); return; }
    const base = [r.method, fields.host, r.uri, r.variables.args || '', ts, nonce].join('\n');
    const mac = crypto.createHmac('sha256', 'KEY').update(base).digest('base64');
    if (mac !== sig) { r.return(403); return; }
    r.internalRedirect('@app');
}
export default { check };
";

const PROXY: &str = "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                     proxy_set_header X-Forwarded-For $remote_addr;";

/// Both; `None` where its module is not installed.
pub(super) struct Scripted {
    pub(super) lua: Option<Peer>,
    pub(super) njs: Option<Peer>,
}

impl Scripted {
    pub(super) fn start(upstream: SocketAddr) -> Result<Self> {
        let has = |module: &str| Path::new(MODULES).join(module).exists();
        let lua = has("ngx_http_lua_module.so").then(|| lua(upstream)).transpose()?;
        let njs = has("ngx_http_js_module.so").then(|| njs(upstream)).transpose()?;
        Ok(Self { lua, njs })
    }
}

fn app(upstream: SocketAddr) -> String {
    format!("upstream app {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}\n")
}

fn key() -> String {
    String::from_utf8_lossy(KEY).into_owned()
}

fn lua(upstream: SocketAddr) -> Result<Peer> {
    let address = free()?;
    let modules = ["ndk_http_module.so", "ngx_http_lua_module.so"];
    let http = |home: &str| -> Result<String> {
        let script = format!("{home}/check.lua");
        fs::write(&script, LUA_START.replace("KEY", &key()))?;
        Ok(format!(
            "lua_package_path \"/usr/share/lua/5.1/?.lua;;\"; init_by_lua_file {script};\n\
             lua_shared_dict nonces 512m; lua_shared_dict rates 10m;\n{}\
             server {{ listen {address} reuseport backlog=4096;\n\
             location / {{ access_by_lua_block {{ check() }} {PROXY} }} }}",
            app(upstream)
        ))
    };
    start_nginx(&modules.map(module), http, address, address)
}

fn njs(upstream: SocketAddr) -> Result<Peer> {
    let address = free()?;
    let http = |home: &str| -> Result<String> {
        let script = format!("{home}/check.js");
        fs::write(&script, NJS.replace("KEY", &key()))?;
        Ok(format!(
            "js_import check from {script};\n{}\
             server {{ listen {address} reuseport backlog=4096;\n\
             location / {{ js_content check.check; }} location @app {{ {PROXY} }} }}",
            app(upstream)
        ))
    };
    start_nginx(&[module("ngx_http_js_module.so")], http, address, address)
}

fn module(name: &str) -> String {
    format!("{MODULES}/{name}")
}
