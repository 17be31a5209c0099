//! A WASI command for the tests of skills: its first argument says what it does. What an operation came to is one line
//! on standard output: `ok`, or the kind of the error.

#![cfg_attr(
    target_arch = "wasm32",
    allow(unsafe_code, missing_docs, reason = "generated: the calls over the boundary")
)]

#[cfg(target_arch = "wasm32")]
mod guest {
    use std::fs;
    use std::io::{self, Read as _, Write as _};
    use std::net::TcpStream;

    struct Command;

    impl wasip2::exports::cli::run::Guest for Command {
        fn run() -> Result<(), ()> {
            let arguments: Vec<String> = std::env::args().collect();
            let argument = |index: usize| arguments.get(index).cloned().unwrap_or_default();
            let number = || argument(2).parse::<usize>().unwrap_or_default();
            let done = match argument(1).as_str() {
                "args" => said(arguments.join("|")),
                "env" => said(std::env::vars().map(|(name, value)| format!("{name}={value};")).collect()),
                "input" => {
                    let mut text = String::new();
                    io::stdin().read_to_string(&mut text).and_then(|_| said(text))
                }
                "both" => said("to stdout".into()).and_then(|()| writeln!(io::stderr(), "to stderr")),
                "cat" => fs::read_to_string(argument(2)).and_then(said),
                "list" => fs::read_dir(argument(2)).and_then(|entries| {
                    let mut names: Vec<String> =
                        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                    names.sort();
                    said(names.join(" "))
                }),
                "write" => ok(fs::write(argument(2), "changed")),
                "append" => ok(fs::OpenOptions::new().append(true).open(argument(2)).map(drop)),
                "mkdir" => ok(fs::create_dir(argument(2))),
                "remove" => ok(fs::remove_file(argument(2))),
                "rmdir" => ok(fs::remove_dir(argument(2))),
                "rename" => ok(fs::rename(argument(2), argument(3))),
                "link" => ok(fs::hard_link(argument(2), argument(3))),
                "connect" => ok(TcpStream::connect(argument(2)).map(drop)),
                // What a path shows while somebody exchanges what is there: each text once.
                "stare" => {
                    let mut seen = std::collections::BTreeSet::new();
                    for _ in 0..5_000 {
                        seen.insert(fs::read_to_string(argument(2)).unwrap_or_default());
                    }
                    said(seen.into_iter().collect::<Vec<_>>().join("|"))
                }
                "spin" => {
                    let _ = said("before".into());
                    loop {
                        std::hint::black_box(0);
                    }
                }
                "sleep" => {
                    std::thread::sleep(std::time::Duration::from_millis(number() as u64));
                    Ok(())
                }
                "grow" => {
                    let mut all: Vec<Vec<u8>> = Vec::new();
                    loop {
                        all.push(vec![1; 1 << 20]);
                        std::hint::black_box(&all);
                    }
                }
                "flood" => {
                    let line = "é".repeat(32 << 10);
                    (0..number()).try_for_each(|_| io::stdout().write_all(line.as_bytes()))
                }
                "garbage" => io::stdout().write_all(b"caf\xe9 is not UTF-8, but it is a line of text\n"),
                "exit" => {
                    let _ = writeln!(io::stderr(), "it went wrong");
                    std::process::exit(number() as i32)
                }
                "panic" => panic!("in a skill"),
                other => {
                    let _ = writeln!(io::stderr(), "unknown: {other}");
                    return Err(());
                }
            };
            done.map_err(|error| {
                let _ = writeln!(io::stderr(), "{:?}", error.kind());
            })
        }
    }

    fn said(text: String) -> io::Result<()> {
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()
    }

    /// What it came to is said, whatever it is.
    fn ok(done: io::Result<()>) -> io::Result<()> {
        said(match done {
            Ok(()) => "ok".into(),
            Err(error) => format!("{:?}", error.kind()),
        })
    }

    wasip2::cli::command::export!(Command);
}
