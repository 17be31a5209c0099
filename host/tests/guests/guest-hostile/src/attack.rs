//! Attacks with nothing but a processor and memory.

use std::hint::black_box;
use std::io::Write as _;

/// Never ends, and never calls the host.
pub fn spin() -> String {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

/// Takes memory until there is no more.
pub fn memory() -> String {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Each call makes two more; none returns.
fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { deeper(depth + 1).rotate_left(3) ^ deeper(depth + 2) }
}

/// Fills the stack.
pub fn recursion() -> String {
    deeper(0).to_string()
}

/// Fails.
#[expect(clippy::panic, reason = "the attack")]
pub fn panic() -> String {
    panic!("the guest gives up on purpose")
}

/// 100 MB of standard output, in lines of 1 KiB.
pub fn stdout() -> String {
    let line = [b"y".repeat(1023), b"\n".to_vec()].concat();
    let mut out = std::io::stdout().lock();
    let mut written = 0;
    for _ in 0..100_000 {
        written += usize::from(out.write_all(&line).is_ok());
    }
    format!("{written} lines written")
}

/// An answer of 100 MB.
pub fn answer() -> String {
    "x".repeat(100_000_000)
}

/// A text that is no UTF-8.
pub fn characters() -> String {
    // Safety: there is none; the host must not believe what a guest calls a string.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe, b'z']) }
}

/// Waits for an hour.
pub fn sleep() -> String {
    #[expect(clippy::disallowed_methods, reason = "the attack")]
    std::thread::sleep(std::time::Duration::from_secs(3600));
    "awake".into()
}

/// 4 GB of random numbers, made by the host.
pub fn random() -> String {
    #[link(wasm_import_module = "wasi:random/random@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-random-bytes"]
        fn get_random_bytes(count: i64, list: *mut [u32; 2]);
    }
    let mut list = [0; 2];
    // Safety: the function writes a pointer and a length, as the canonical ABI lays them out.
    unsafe { get_random_bytes(4_000_000_000, &raw mut list) };
    format!("{} bytes", list[1])
}

/// A connection by the language's own library: what the host answers.
pub fn connect(address: &str) -> String {
    let tcp = std::net::TcpStream::connect(address).map(|_| "connected");
    let udp = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", address));
    format!("{:?} {:?}", tcp.map_err(|error| error.kind()), udp.map_err(|error| error.kind()))
}

/// The machine by the language's own library: files, variables, arguments.
pub fn files() -> String {
    let read = std::fs::read_dir("/").map(Iterator::count).map_err(|error| error.kind());
    let written = std::fs::write("/tmp/mark", "x").map_err(|error| error.kind());
    format!("{read:?} {written:?} {} {}", std::env::vars().count(), std::env::args().count())
}

/// Writes a text to standard output and error.
pub fn print(text: &str) -> String {
    // What does not get there, the test misses.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let _ = std::io::stderr().write_all(text.as_bytes());
    "printed".into()
}
