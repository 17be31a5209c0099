//! `plugin add`, `update`, `rollback`, `remove`, `trust`: what was fetched is shown before anything happens, what is new in
//! its wishes first, and then the person is asked.

use std::io::{IsTerminal as _, Write as _};

use super::connect::{Reach, reach};
use super::{Context, Exit, Failure};
use crate::admin::{
    InstallEvent, InstalledSummary, Installing, PluginSummary, Removal, Request, Response, StagedPlugin, Standing,
};
use crate::install::fetch::size;
use crate::output::{Output, Paint, plain};

/// How `plugin add` and `plugin update` were typed.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Do not ask.
    pub yes: bool,
    /// Install without allowing.
    pub no_allow: bool,
    /// An update may ask for more.
    pub allow_more: bool,
    /// May sign it from now on.
    pub accept_signer: Option<String>,
}

/// What the person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Allow,
    Install,
    No,
}

/// `plugin add`.
pub async fn add(
    context: &Context,
    source: String,
    plain_http: bool,
    replace: bool,
    wishes: &Wishes,
) -> Result<Exit, Failure> {
    let folder = context.sources.started_in.display().to_string();
    let accept_signer = wishes.accept_signer.clone();
    let host = reach(context).await?;
    let wanted = Installing::Stage { source, folder, plain_http, replace, accept_signer };
    match ask(&host, wanted, context.output).await? {
        Some(InstallEvent::Staged(staged)) => decide(&host, &staged, wishes, context.output).await,
        _ => Ok(Exit::Failed),
    }
}

/// `plugin update`.
pub async fn update(context: &Context, name: Option<String>, look: bool, wishes: &Wishes) -> Result<Exit, Failure> {
    let output = context.output;
    let host = reach(context).await?;
    let names = match name {
        Some(name) => vec![name],
        None => sources(&host).await?.into_iter().map(|(name, _)| name).collect(),
    };
    if names.is_empty() {
        output.note(
            Paint::Faint,
            "No plugin was installed by a command; `openpista-host plugin add SOURCE` installs one.",
        );
    }
    let mut worst = Exit::Done;
    let several = names.len() > 1;
    for name in names {
        let wanted = Installing::StageUpdate { name: name.clone(), accept_signer: wishes.accept_signer.clone() };
        let done = match ask(&host, wanted, output).await {
            Ok(Some(InstallEvent::UpToDate { name, version, note })) => {
                if output.json {
                    output.json(&InstallEvent::UpToDate { name, version, note })?;
                } else {
                    let why = note.unwrap_or_else(|| "nothing newer there".into());
                    output.line(&plain(&format!("{name} {version}: {why}")))?;
                }
                Ok(Exit::Done)
            }
            Ok(Some(InstallEvent::Staged(staged))) if look => {
                forget(&host, &staged).await?;
                show(&staged, output).map(|()| Exit::Done)
            }
            Ok(Some(InstallEvent::Staged(staged))) => decide(&host, &staged, wishes, output).await,
            Ok(_) => Ok(Exit::Failed),
            Err(failure) => Err(failure),
        };
        match done {
            Ok(Exit::Done) => (),
            Ok(exit) => worst = exit,
            // The others are looked at all the same.
            Err(failure) if several => {
                output.note(Paint::Bad, &context.known.clean(&format!("{name}: {}", super::in_words(&failure.error))));
                worst = failure.exit;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(worst)
}

/// `plugin rollback`.
pub async fn rollback(context: &Context, name: String) -> Result<Exit, Failure> {
    let host = reach(context).await?;
    match ask(&host, Installing::Rollback { name }, context.output).await? {
        Some(InstallEvent::Installed(plugin)) => done(&plugin, "is back", context.output),
        _ => Ok(Exit::Failed),
    }
}

/// `plugin remove`.
pub async fn remove(context: &Context, name: String, purge: bool, yes: bool) -> Result<Exit, Failure> {
    let output = context.output;
    let host = reach(context).await?;
    let wanted = |really| Installing::Remove { name: name.clone(), purge, really };
    let Some(InstallEvent::Removal(goes)) = ask(&host, wanted(false), output).await? else { return Ok(Exit::Failed) };
    if !yes {
        if output.json || !at_terminal() {
            return Err(Failure::new(Exit::Denied, "nobody is here to say yes; add --yes to say that you mean it"));
        }
        tell_of_removal(&goes, output);
        if !matches!(question("Remove it? [y/N]", output)?.as_str(), "y" | "yes") {
            output.note(Paint::Faint, "Nothing was removed.");
            return Ok(Exit::Done);
        }
    }
    let Some(InstallEvent::Removal(gone)) = ask(&host, wanted(true), output).await? else { return Ok(Exit::Failed) };
    if output.json {
        output.json(&gone)?;
    } else {
        output.line(&plain(&format!("{} is removed.", gone.name)))?;
        if gone.state > 0 && !gone.purge {
            output.note(Paint::Faint, &format!("What it stored ({}) is kept.", size(gone.state)));
        }
    }
    Ok(Exit::Done)
}

/// `plugin trust`.
pub async fn trust(context: &Context, name: String, key: Option<String>) -> Result<Exit, Failure> {
    let output = context.output;
    let host = reach(context).await?;
    let Some(event) = ask(&host, Installing::Trust { name, key }, output).await? else { return Ok(Exit::Failed) };
    if output.json {
        output.json(&event)?;
    } else if let InstallEvent::Trust { name, key } = event {
        output.line(&plain(&match key {
            Some(signer) => format!("{name}: signed by the key {} ({}), else it is refused", signer.id, signer.key),
            None => format!("{name}: no key is trusted; the next signer is"),
        }))?;
    }
    Ok(Exit::Done)
}

async fn sources(host: &Reach) -> Result<Vec<(String, InstalledSummary)>, Failure> {
    let all = host.all(Request::Installing(Installing::Sources)).await?;
    let source = |response| match response {
        Response::Installing(InstallEvent::Source { name, installed }) => Some((name, installed)),
        _ => None,
    };
    Ok(all.into_iter().filter_map(source).collect())
}

/// Asks, shows how far it is, and returns the last word.
async fn ask(host: &Reach, wanted: Installing, output: Output) -> Result<Option<InstallEvent>, Failure> {
    let mut answers = host.ask(Request::Installing(wanted)).await?;
    let mut last = None;
    let mut bar = Bar { shown: !output.json && std::io::stderr().is_terminal(), wide: false };
    while let Some(response) = answers.next().await? {
        match response {
            Response::Installing(InstallEvent::Progress { done, total }) => bar.draw(done, total),
            Response::Installing(event) => last = Some(event),
            _ => (),
        }
    }
    Ok(last)
}

/// One line that is drawn again and again, and gone at the end.
struct Bar {
    shown: bool,
    wide: bool,
}

impl Bar {
    fn draw(&mut self, done: u64, total: Option<u64>) {
        if !self.shown {
            return;
        }
        self.wide = true;
        let of = total.map_or_else(String::new, |total| format!(" of {}", size(total)));
        let mut out = std::io::stderr().lock();
        // Nobody is left to tell when standard error is gone.
        let _gone = write!(out, "\r\x1b[Kfetched {}{of}", size(done)).and_then(|()| out.flush());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.wide {
            let _gone = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Shows what came, asks, and does what was said.
async fn decide(host: &Reach, staged: &StagedPlugin, wishes: &Wishes, output: Output) -> Result<Exit, Failure> {
    show(staged, output)?;
    let word = said(staged, wishes, output);
    if matches!(word, Ok(Word::No) | Err(_)) {
        forget(host, staged).await?;
    }
    let word = word?;
    if word == Word::No {
        output.note(Paint::Faint, "Nothing was installed.");
        return Ok(Exit::Done);
    }
    let wanted = Installing::Install { id: staged.id.clone(), allow: word == Word::Allow };
    match ask(host, wanted, output).await? {
        Some(InstallEvent::Installed(plugin)) => done(&plugin, "is installed", output),
        _ => Ok(Exit::Failed),
    }
}

async fn forget(host: &Reach, staged: &StagedPlugin) -> Result<(), Failure> {
    ask(host, Installing::Forget { id: staged.id.clone() }, Output::new(true)).await.map(drop)
}

/// What is to be done with what came: what was typed says it, or the person.
fn said(staged: &StagedPlugin, wishes: &Wishes, output: Output) -> Result<Word, Failure> {
    let next = staged.before.as_ref().filter(|before| before.same);
    let wider = next.map_or(&[][..], |before| &before.wider[..]);
    let asks = if next.is_some() { !wider.is_empty() } else { !staged.plugin.needs.is_empty() };
    if wishes.yes {
        if !wider.is_empty() && !wishes.allow_more && !wishes.no_allow {
            return Err(Failure::new(
                Exit::Denied,
                format!(
                    "{} {} asks for more than the version before ({}), so --yes alone does not install it: add \
                     --allow-more, or --no-allow to install it without",
                    staged.plugin.name,
                    staged.plugin.version,
                    wider.join("; ")
                ),
            ));
        }
        return Ok(if wishes.no_allow { Word::Install } else { Word::Allow });
    }
    if output.json || !at_terminal() {
        let without = if asks { ", or --yes --no-allow to install it and allow nothing new" } else { "" };
        return Err(Failure::new(
            Exit::Denied,
            format!("nothing is installed, as nobody is here to say yes: add --yes to install it{without}"),
        ));
    }
    choose(asks && !wishes.no_allow, output)
}

fn choose(asks: bool, output: Output) -> Result<Word, Failure> {
    let text = if asks { "Install it and allow that? [y]es, [w]ithout allowing, [N]o" } else { "Install it? [y/N]" };
    Ok(match question(text, output)?.as_str() {
        "y" | "yes" => Word::Allow,
        "w" | "without" if asks => Word::Install,
        _ => Word::No,
    })
}

fn question(text: &str, output: Output) -> Result<String, Failure> {
    output.note(Paint::Strong, text);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_lowercase())
}

fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn done(plugin: &PluginSummary, how: &str, output: Output) -> Result<Exit, Failure> {
    if output.json {
        output.json(plugin)?;
        return Ok(Exit::Done);
    }
    let served =
        if plugin.instances.is_empty() { String::new() } else { format!(" as {}", plugin.instances.join(", ")) };
    output.line(&plain(&format!("{} {} {how}{served}.", plugin.name, plugin.version)))?;
    if plugin.standing != Standing::Ready
        && let Some(reason) = &plugin.reason
    {
        output.note(Paint::Warn, &plain(reason));
    }
    Ok(Exit::Done)
}

/// What came: first of all what it newly asks for.
fn show(staged: &StagedPlugin, output: Output) -> Result<(), Failure> {
    if output.json {
        output.json(staged)?;
        return Ok(());
    }
    let plugin = &staged.plugin;
    let line = |text: &str| output.line(&plain(text));
    let fact = |name: &str, text: &str| {
        output.line(&format!("{} {}", output.paint(Paint::Faint, &format!("{name:>9}")), plain(text)))
    };
    output.line(&output.paint(Paint::Strong, &plain(&format!("{} {}", plugin.name, plugin.version))))?;
    if !plugin.description.is_empty() {
        line(&plugin.description)?;
    }
    if let Some(before) = &staged.before {
        for wish in &before.wider {
            output.line(&output.paint(Paint::Warn, &plain(&format!("      NEW  {wish}"))))?;
        }
        for less in &before.narrower {
            fact("no more", less)?;
        }
        let stock = if before.stock { ", which came with openpista-host" } else { "" };
        fact("replaces", &format!("{}{stock} (sha256:{})", before.version, before.digest))?;
        if before.older {
            output.line(&output.paint(Paint::Warn, "          its version went BACK"))?;
        }
    }
    fact("from", &staged.source)?;
    fact("digest", &format!("sha256:{} ({})", plugin.digest, size(staged.size)))?;
    if let Some(manifest) = &staged.manifest {
        fact("manifest", &format!("sha256:{manifest}"))?;
    }
    match &staged.signer {
        None => fact("signed by", "nobody")?,
        Some(signer) if signer.known => fact("signed by", &format!("{} (known)", signer.id))?,
        Some(signer) => {
            fact("signed by", &format!("{}, new; from now on only that key may sign {}", signer.id, plugin.name))?;
            fact("", &signer.key)?;
        }
    }
    for need in &plugin.needs {
        let scope = if need.scope.is_empty() { String::new() } else { format!(" ({})", need.scope.join(", ")) };
        let optional = if need.optional { ", optional" } else { "" };
        fact("asks for", &format!("{}{scope}{optional}: {}", need.capability, need.reason))?;
    }
    if plugin.needs.is_empty() {
        fact("asks for", "nothing")?;
    }
    for audience in &staged.audiences {
        fact("secret", &format!("{} ({}): {}", audience.secret, audience.title, audience.uses.join("; ")))?;
    }
    Ok(())
}

fn tell_of_removal(goes: &Removal, output: Output) {
    let tell = |text: String| output.note(Paint::Faint, &plain(&text));
    output.note(Paint::Strong, &plain(&format!("{} ({})", goes.name, goes.file)));
    if goes.stock {
        tell("  it came with openpista-host, which does not bring it back by itself".into());
    }
    if !goes.instances.is_empty() {
        tell(format!("  ends: {}", goes.instances.join(", ")));
    }
    if !goes.configured.is_empty() {
        tell(format!("  stays in config.toml without a plugin: {}", goes.configured.join(", ")));
    }
    if !goes.grants.is_empty() {
        tell(format!("  loses what you allowed: {}", goes.grants.join(", ")));
    }
    if goes.state > 0 {
        let kept = if goes.purge { "goes" } else { "is kept; --purge takes it away" };
        tell(format!("  what it stored ({}) {kept}", size(goes.state)));
    }
}
