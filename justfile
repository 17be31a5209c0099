# The menu of what can be done here. All of it is `cargo xtask`, so nothing needs `just`.

_menu:
    @just --list --unsorted

# Build all and start the daemon; ARGS go to `openpista-host run`
run *ARGS:
    cargo xtask run -- {{ ARGS }}

# Everything that must hold; installs what it needs
test *CHECKS:
    cargo xtask test {{ CHECKS }}

# The quick checks: format, contract, clippy
check:
    cargo xtask check

# The components and the host; `just build --release` makes one binary with all inside
build *ARGS:
    cargo xtask build {{ ARGS }}

# One component, for example `just plugin tool-shell`; a running daemon takes it up
plugin NAME:
    cargo xtask build {{ NAME }}

# The long tests: crashes and load, many times over
soak:
    cargo xtask soak

# Switches off each mechanism that stops an attack, one by one: its test has to fail
mutants:
    cargo xtask soak mutants

# Feeds what reads strangers' bytes with all that a fuzzer thinks of; `just fuzz sse --seconds 60` only one
fuzz *ARGS:
    cargo xtask soak fuzz {{ ARGS }}

# Install what building and testing need
setup *ARGS:
    cargo xtask setup {{ ARGS }}

# What the release costs in time and memory; `just bench web` measures one figure
bench *FIGURES:
    cargo xtask bench {{ FIGURES }}
