//! `nginx.conf`, as text. Pure.
//!
//! What a reload would be needed for and is not in here: releases (files are served through a link that
//! is swapped) and instances of the application (there is one upstream, the balancer's app face).

use super::mime;
use super::observe::HEALTH_PATH;
use super::quote::{self, Refused};
use crate::app::php::OWN_RELEASE;
use std::fmt::Write;
use std::path::PathBuf;
use stoa_model::site::{AppKind, InnerPath, UrlPath};
use stoa_model::spec::WebSpec;
use stoa_model::{InstanceId, Paths};

/// The folders that nginx keeps bodies in while they pass, each directly below the instance's folder.
pub(super) const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// nginx answers after the app face had its say: that one knows which instance was late.
const AFTER_APP_FACE_MS: u64 = 2000;

mod earlier;

/// All of it.
pub(super) fn config(instance: InstanceId, spec: &WebSpec, paths: &Paths) -> Result<String, Refused> {
    let site = Site { instance, spec, paths };
    Ok([
        site.process()?,
        site.http()?,
        site.answers(),
        site.upstream()?,
        site.releases()?,
        site.strangers()?,
        site.server()?,
        "}\n".to_owned(),
    ]
    .concat())
}

struct Site<'a> {
    instance: InstanceId,
    spec: &'a WebSpec,
    paths: &'a Paths,
}

/// How often an idempotent request may be sent to the app face.
const UPSTREAM_TRIES: usize = 8;

impl Site<'_> {
    fn below(&self, name: &str) -> PathBuf {
        self.paths.instance(self.instance).join(name)
    }

    fn process(&self) -> Result<String, Refused> {
        let pid = quote::path(&self.below("nginx.pid"))?;
        let instance = self.instance;
        Ok(format!(
            r#"# {instance}: written by Stoa; changes are lost at the next start or reload.
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
# Old workers of a reload finish what they have, then go.
worker_shutdown_timeout 1h;
pid {pid};
error_log stderr warn;
pcre_jit on;
events {{
  worker_connections 4096;
}}
"#
        ))
    }

    fn http(&self) -> Result<String, Refused> {
        let mut text = String::from("http {\n");
        for name in TEMPORARY {
            let _ = writeln!(text, "  {name}_temp_path {};", quote::path(&self.below(name))?);
        }
        text.push_str(LOG_FORMAT);
        let log = quote::path(&self.paths.log(self.instance).join("access.log"))?;
        let _ = writeln!(text, "  access_log {log} stoa buffer=16k flush=1s;");
        text.push_str("  types {\n");
        for (media, endings) in mime::TYPES {
            let _ = writeln!(text, "    {media} {endings};");
        }
        text.push_str("  }\n");
        let _ = writeln!(text, "  gzip_types {};", mime::COMPRESSED);
        let _ = writeln!(text, "  client_max_body_size {};", self.spec.max_body.0.max(1));
        text.push_str(HTTP);
        Ok(text)
    }

    /// Pages of nginx' own, which say which of us answered and why.
    fn answers(&self) -> String {
        let most = size(self.spec.max_body.0);
        let late = seconds(self.spec.timeout.0);
        let pages = [
            (400, "the request cannot be understood".to_owned()),
            (403, "there is nothing to see here".to_owned()),
            (404, "there is no such page".to_owned()),
            (408, "the request did not come in time".to_owned()),
            (413, format!("the request is larger than the {most} that this site takes")),
            (414, "the address of the request is too long".to_owned()),
            (500, "the web server could not do it (its disk may be full)".to_owned()),
            (502, "the balancer in front of the application cannot be reached".to_owned()),
            (503, "the application cannot be reached at the moment".to_owned()),
            (504, format!("the application did not answer within {late}")),
        ];
        let mut text = String::from("  map $status $stoa_page {\n");
        for (status, why) in pages {
            let _ = writeln!(text, "    {status} \"{status}: {why}\\n\";");
        }
        text.push_str("    default \"$status\\n\";\n  }\n");
        text
    }

    /// The server is named several times, so that an idempotent request whose connection breaks (a balancer
    /// was killed) is sent again, to the balancer that lives on the same address. Each time may meet another
    /// kept connection to the dead one, whose end this nginx has not got round to noticing. One that the
    /// application may have seen and may not be repeated is never sent again.
    fn upstream(&self) -> Result<String, Refused> {
        let Some(upstream) = &self.spec.upstream else { return Ok(String::new()) };
        let server = quote::endpoint(upstream)?;
        let mut text = String::from("  upstream stoa_app {\n");
        for _ in 0..UPSTREAM_TRIES {
            let _ = writeln!(text, "    server {server} max_fails=0;");
        }
        if self.spec.kind == AppKind::Http {
            // Closed by us long before a balancer that drains closes it: no request meets a closing
            // connection.
            text.push_str("    keepalive 32;\n    keepalive_requests 100000;\n    keepalive_timeout 2s;\n");
        }
        text.push_str("  }\n");
        Ok(text)
    }

    /// What is no part of the site though it lies in its folders.
    fn hidden(&self) -> &'static str {
        match self.spec.kind {
            AppKind::Http => "      if ($stoa_hidden) { return 404; }\n",
            AppKind::Php => {
                "      if ($stoa_hidden) { return 404; }\n      if ($stoa_code) { return 404; }\n"
            }
        }
    }

    /// Whoever asks for a name that is not the site's.
    fn strangers(&self) -> Result<String, Refused> {
        let listen = quote::endpoint(&self.spec.endpoint)?;
        Ok(format!(
            r#"  server {{
    listen {listen} default_server backlog=4096;
    server_name "";
    location = {HEALTH_PATH} {{ access_log off; return 200 "ok\n"; }}
    location / {{
      return 421 "421: this server does not answer to that name. If it should, add the name to [site] aliases in stoa.toml and run: stoa up\n";
    }}
  }}
"#
        ))
    }

    fn server(&self) -> Result<String, Refused> {
        let listen = quote::endpoint(&self.spec.endpoint)?;
        let mut names = Vec::new();
        for name in &self.spec.names {
            names.push(quote::domain(name)?.to_owned());
        }
        for local in ["localhost", "127.0.0.1", "[::1]"] {
            if !names.iter().any(|name| name == local) {
                names.push(local.to_owned());
            }
        }
        let mut text = format!("  server {{\n    listen {listen};\n    server_name {};\n", names.join(" "));
        let _ = writeln!(text, "    root {};", quote::path(&self.paths.static_root(0))?);
        text.push_str("    index index.html;\n");
        let _ = writeln!(text, "    location = {HEALTH_PATH} {{ access_log off; return 200 \"ok\\n\"; }}");
        let _ = writeln!(text, "    {PAGES}");
        text.push_str("    location @stoa_page { default_type text/plain; return 200 $stoa_page; }\n");
        for (url, folder) in self.spec.files.iter().filter(|(url, _)| url.as_str() != "/") {
            text.push_str(&self.files(url, folder)?);
        }
        let root = self.spec.files.iter().find(|(url, _)| url.as_str() == "/").map(|(_, folder)| folder);
        text.push_str(&self.rest(root)?);
        text.push_str(&self.earlier()?);
        text.push_str("  }\n");
        Ok(text)
    }

    /// A folder of the release at its URL. `^~`: nothing in it is ever run as PHP.
    fn files(&self, url: &UrlPath, folder: &InnerPath) -> Result<String, Refused> {
        let prefix = quote::prefix(url)?;
        let folder = quote::inner(&self.paths.static_root(0), folder)?;
        // `alias` puts the rest of the URL behind it as it is.
        let folder = format!("{}/\"", folder.trim_end_matches('"'));
        let hidden = self.hidden();
        Ok(format!("    location ^~ {prefix} {{\n      alias {folder};\n{TO_EARLIER}{hidden}{FILES}    }}\n"))
    }

    /// Everything that is in no folder above.
    fn rest(&self, root: Option<&InnerPath>) -> Result<String, Refused> {
        let folder = root;
        let root = root.map(|folder| quote::inner(&self.paths.static_root(0), folder)).transpose()?;
        let proxy = self.proxy();
        let text = match (&self.spec.upstream, self.spec.kind, root) {
            (None, _, None) => "    location / { return 404; }\n".to_owned(),
            (None, _, Some(root)) => format!(
                "    location / {{\n      root {root};\n      if ($stoa_hidden) {{ return 404; }}\n      \
                 try_files $uri $uri/ @stoa_earlier;\n{FILES}    }}\n"
            ),
            (Some(_), AppKind::Http, None) => {
                format!("    location / {{\n{TO_TUNNEL}{proxy}    }}\n{}", self.tunnel())
            }
            // The application answers for hidden names, as for every file that is not there.
            (Some(_), AppKind::Http, Some(root)) => format!(
                "    location / {{\n      root {root};\n{TO_TUNNEL}      error_page 418 = @app;\n      \
                 if ($stoa_hidden) {{ return 418; }}\n      try_files $uri $stoa_otherwise;\n{FILES}    }}\n    \
                 location @app {{\n{proxy}    }}\n{}",
                self.tunnel()
            ),
            (Some(_), AppKind::Php, root) => {
                let root = root.map_or_else(|| quote::path(&self.paths.static_root(0)), Ok)?;
                let (timeout, hidden) = (self.timeout(), self.hidden());
                let document = quote::text(&own_folder(folder))?;
                let script = format!("{}$fastcgi_script_name\"", document.trim_end_matches('"'));
                format!(
                    "    location / {{\n      root {root};\n{hidden}      \
                     try_files $uri $uri/ $stoa_otherwise;\n{FILES}      \
                     index index.php index.html;\n    }}\n    \
                     location ~ \\.php(/|$) {{\n      root {root};\n{PHP}      \
                     fastcgi_param DOCUMENT_ROOT {document};\n      \
                     fastcgi_param SCRIPT_FILENAME {script};\n      \
                     fastcgi_read_timeout {timeout}ms;\n    }}\n"
                )
            }
        };
        Ok(text)
    }

    fn timeout(&self) -> u64 {
        self.spec.timeout.0.saturating_add(AFTER_APP_FACE_MS)
    }

    fn proxy(&self) -> String {
        let timeout = self.timeout();
        format!("{PROXY}      proxy_read_timeout {timeout}ms;\n      proxy_send_timeout 30s;\n")
    }

    /// A WebSocket may be silent for longer than an answer may take.
    fn tunnel(&self) -> String {
        format!(
            "    location @stoa_tunnel {{\n{PROXY}      proxy_read_timeout 1h;\n      \
             proxy_send_timeout 1h;\n    }}\n"
        )
    }
}

/// The document root as every instance of the application has it: below the folder that it was handed open, its
/// own release. Whichever instance is asked, and whatever nginx takes for the release that serves, an instance
/// runs nothing but its own code.
fn own_folder(inner: Option<&InnerPath>) -> String {
    match inner.map(InnerPath::as_str).filter(|inner| *inner != ".") {
        Some(inner) => format!("{OWN_RELEASE}/{inner}"),
        None => OWN_RELEASE.to_owned(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MB", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{} KB", b >> 10),
        b => format!("{b} bytes"),
    }
}

fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}

/// One line of JSON a request.
const LOG_FORMAT: &str = r#"  log_format stoa escape=json '{"time":"$time_iso8601","id":"$http_x_request_id","client":"$remote_addr","host":"$host","method":"$request_method","uri":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$bytes_sent,"seconds":$request_time,"upstream_seconds":"$upstream_response_time","upstream_status":"$upstream_status","referer":"$http_referer","agent":"$http_user_agent"}';
"#;

/// What does not depend on the site.
const HTTP: &str = r#"  default_type application/octet-stream;
  types_hash_max_size 4096;
  server_names_hash_bucket_size 512;
  server_names_hash_max_size 8192;
  variables_hash_max_size 2048;
  server_tokens off;
  # Redirects are relative: only the balancer knows the port and protocol that visitors use.
  absolute_redirect off;
  port_in_redirect off;
  # Headers with underscores look like others once an application turns `-` into `_`: dropped.
  underscores_in_headers off;
  # Only the balancer reaches this socket, and it sets the header anew for every request.
  set_real_ip_from unix:;
  real_ip_header X-Forwarded-For;
  sendfile on;
  tcp_nopush on;
  # An open file would outlive the swap of the link: every request looks the file up anew.
  open_file_cache off;
  log_not_found off;
  # Links are followed: the folders that outlive a release are links in it. What they may lead to is
  # bounded by what this unprivileged user may read.
  disable_symlinks off;
  etag on;
  gzip on;
  gzip_comp_level 5;
  gzip_min_length 1000;
  gzip_vary on;
  gzip_proxied any;
  gzip_static off;
  charset_types text/css text/javascript text/plain text/markdown text/csv text/vtt text/xml application/json;
  client_header_timeout 15s;
  client_body_timeout 30s;
  send_timeout 30s;
  keepalive_timeout 75s;
  keepalive_requests 100000;
  client_header_buffer_size 4k;
  large_client_header_buffers 8 32k;
  client_body_buffer_size 64k;
  reset_timedout_connection on;
  # The name of a file that changes with its content may be kept for ever; a page is asked for again.
  map $uri $stoa_cache {
    default "public, max-age=300";
    "~(/|\.html?)$" "no-cache";
    "~[.-](?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,64}\.[a-z0-9]+(\.map)?$" "public, max-age=31536000, immutable";
    "~-(?=[\w-]*[0-9])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{8}\.(js|mjs|css|woff2?|map)$" "public, max-age=31536000, immutable";
  }
  # Files that are no part of the site though they lie in its folder.
  map $uri $stoa_hidden {
    default "";
    "~/\.(?!well-known(/|$))" 1;
    "~*/stoa\.toml$" 1;
  }
  map $uri $stoa_code {
    default "";
    "~*\.(php[0-9]?|phtml|phar|inc)(/|$)" 1;
  }
  # WebSocket only: any other upgrade, such as h2c, would carry requests past every rule here.
  map $http_upgrade $stoa_upgrade {
    default "";
    "~*^websocket$" websocket;
  }
  map $stoa_upgrade $stoa_connection {
    default "";
    websocket upgrade;
  }
  map $http_x_forwarded_proto $stoa_https {
    default "";
    https on;
  }
"#;

/// Which answers get a page of ours. A location with an `error_page` of its own has to repeat it.
const PAGES: &str = "error_page 400 403 404 408 413 414 500 502 503 504 @stoa_page;";

/// Sends a WebSocket's request to its own location; the number is seen by nobody.
const TO_TUNNEL: &str = "      error_page 400 403 404 408 413 414 500 502 503 504 @stoa_page;
      error_page 419 = @stoa_tunnel;
      if ($stoa_upgrade) { return 419; }
";

/// A file that is not there may be in an earlier release; a miss there ends like a miss here.
const TO_EARLIER: &str = "      recursive_error_pages on;
      error_page 404 = @stoa_earlier;
      error_page 400 403 408 413 414 500 502 503 504 @stoa_page;
";

/// A folder of files.
const FILES: &str = "      autoindex off;
      charset utf-8;
      add_header Cache-Control $stoa_cache;
      add_header X-Content-Type-Options nosniff;
";

/// The application over HTTP. The path goes on as it came.
const PROXY: &str = r#"      proxy_pass http://stoa_app;
      proxy_http_version 1.1;
      # As the visitor sent it. X-Forwarded-* and X-Request-Id pass as the balancer set them.
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $stoa_upgrade;
      proxy_set_header Connection $stoa_connection;
      proxy_buffering on;
      proxy_buffer_size 32k;
      proxy_buffers 8 32k;
      proxy_busy_buffers_size 64k;
      proxy_max_temp_file_size 256m;
      proxy_request_buffering on;
      proxy_redirect off;
      # Which instance answers is the balancer's choice and retry; this is for the balancer's own death.
      proxy_next_upstream error;
      proxy_connect_timeout 5s;
"#;

/// The application over FastCGI.
const PHP: &str = r#"      if ($stoa_hidden) { return 404; }
      fastcgi_split_path_info ^(.+?\.php)(/.*)$;
      # try_files forgets it.
      set $stoa_path_info $fastcgi_path_info;
      # Only a file of the release itself is ever run: what was uploaded lies behind a link.
      disable_symlinks on from=$document_root;
      try_files $fastcgi_script_name =404;
      fastcgi_pass stoa_app;
      fastcgi_keep_conn off;
      fastcgi_next_upstream error;
      fastcgi_buffer_size 32k;
      fastcgi_buffers 8 32k;
      fastcgi_busy_buffers_size 64k;
      fastcgi_request_buffering on;
      fastcgi_connect_timeout 5s;
      fastcgi_send_timeout 30s;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param PATH_INFO $stoa_path_info;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param DOCUMENT_URI $document_uri;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param GATEWAY_INTERFACE CGI/1.1;
      fastcgi_param SERVER_SOFTWARE nginx;
      fastcgi_param REQUEST_SCHEME $http_x_forwarded_proto;
      fastcgi_param HTTPS $stoa_https if_not_empty;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param REMOTE_PORT $realip_remote_port;
      fastcgi_param SERVER_ADDR $host;
      fastcgi_param SERVER_PORT $http_x_forwarded_port;
      fastcgi_param SERVER_NAME $host;
      fastcgi_param REDIRECT_STATUS 200;
      # A header of this name would set the proxy of HTTP clients in the application (httpoxy).
      fastcgi_param HTTP_PROXY "";
"#;
