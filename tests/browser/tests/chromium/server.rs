//! The server of the page: hands out its files and takes its answers, over HTTP as far as one page needs it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use browser_tests::Findings;

pub(crate) struct Server {
    address: SocketAddr,
    posted: Receiver<(String, Vec<u8>)>,
}

impl Server {
    /// Serves this folder on a free port of this machine until the program ends.
    pub(crate) fn start(folder: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posted) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, sender) = (folder.clone(), sender.clone());
                // Browsers open connections before they need them.
                thread::spawn(move || answer(&stream, &folder, &sender));
            }
        });
        Self { address, posted }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the page has sent everything.
    pub(crate) fn answers(&self, most: Duration) -> Result<(Findings, BTreeMap<String, Vec<u8>>), String> {
        let start = Instant::now();
        let mut images = BTreeMap::new();
        loop {
            let left = most.saturating_sub(start.elapsed());
            let Ok((path, body)) = self.posted.recv_timeout(left) else {
                return Err(format!("no answer from the page within {} s", most.as_secs()));
            };
            match path.strip_prefix("/image/") {
                Some(name) => drop(images.insert(name.to_owned(), body)),
                None if path == "/findings" => {
                    eprintln!("the page took {:.1} s", start.elapsed().as_secs_f64());
                    return Ok((serde_json::from_slice(&body).unwrap(), images));
                }
                None => return Err(format!("the page failed: {}", String::from_utf8_lossy(&body))),
            }
        }
    }
}

fn answer(mut stream: &TcpStream, folder: &Path, posted: &Sender<(String, Vec<u8>)>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let file = |name: &str| fs::read(folder.join(name)).ok();
    let (kind, content) = match (method, path) {
        ("POST", _) => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            // Nobody waits after the last answer.
            let _ = posted.send((path.to_owned(), body));
            ("text/plain", Some(Vec::new()))
        }
        (_, "/") => ("text/html", Some(include_bytes!("../../src/index.html").to_vec())),
        (_, "/page.js") => ("text/javascript", file("page.js")),
        (_, "/page_bg.wasm") => ("application/wasm", file("page_bg.wasm")),
        _ => ("text/plain", None),
    };
    let status = if content.is_some() { "200 OK" } else { "404 Not Found" };
    let content = content.unwrap_or_default();
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&content)
}
