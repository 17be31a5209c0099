//! What the operator asks about instances: what they do and did, what they said, and to use one that is set aside.

use std::sync::Arc;
use std::time::Duration;

use super::super::shown::aside_in_words;
use super::Admin;
use crate::admin::{
    AsideSummary, CountsSummary, Grant, InstanceSummary, LimitsSummary, Refusal, Response, ResponseSink, SaidLine,
};
use crate::capability::said::{Line, Voice, Weight};
use crate::plugin::instance::Instance;
use crate::plugin::registry::RoleKind;

fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn said(line: Line) -> SaidLine {
    let from = match line.from {
        Voice::Log => "log",
        Voice::Stdout => "stdout",
        Voice::Stderr => "stderr",
        Voice::Host => "host",
    };
    let level = match line.weight {
        Weight::Debug => "debug",
        Weight::Info => "info",
        Weight::Warn => "warn",
        Weight::Error => "error",
    };
    SaidLine {
        at: line.at,
        plugin: line.plugin,
        instance: line.instance,
        from: from.into(),
        level: level.into(),
        session: line.session,
        text: line.text,
    }
}

impl Admin {
    pub(super) fn instance(&self, role: RoleKind, instance: &Arc<Instance>) -> InstanceSummary {
        let (limits, counts) = (instance.limits, instance.record.counts());
        let state = self.0.store.read(|tx| tx.state_size(&instance.name)).unwrap_or_else(|error| {
            tracing::warn!("the size of the state of {} cannot be read: {error}", instance.name);
            0
        });
        InstanceSummary {
            name: instance.name.clone(),
            role: match role {
                RoleKind::Provider => "provider",
                RoleKind::Channel => "channel",
                RoleKind::Tools => "tools",
            }
            .into(),
            grants: instance
                .grants
                .iter()
                .map(|(capability, scope)| Grant { capability: capability.to_string(), scope: scope.to_vec() })
                .collect(),
            limits: LimitsSummary {
                memory: number(limits.memory),
                running: limits.ticks.saturating_mul(crate::runtime::TICK_MS),
                table_elements: number(limits.table_elements),
                instances: number(limits.instances),
                resources: number(limits.resources),
                host_call: number(limits.transfer),
                live_calls: number(limits.live_calls),
            },
            counts: CountsSummary {
                calls: counts.calls,
                errors: counts.errors,
                traps: counts.traps,
                limits: counts.limits,
                late: counts.late,
                cancelled: counts.cancelled,
                refused: counts.refused,
                last: counts.last,
                p50: counts.p50.map(micros),
                p99: counts.p99.map(micros),
                memory: number(counts.peak),
            },
            state,
            aside: instance.record.aside().map(|aside| AsideSummary {
                left: millis(aside.until.saturating_duration_since(tokio::time::Instant::now())),
                times: aside.times,
                why: aside.why,
            }),
        }
    }

    /// Who is set aside, in words.
    pub(super) fn aside(&self) -> Vec<(String, String)> {
        let snapshot = self.0.registry.snapshot();
        let aside = snapshot.instances.values().filter_map(|one| Some((one.name.clone(), one.record.aside()?)));
        aside.map(|(name, aside)| (name, aside_in_words(&aside))).collect()
    }

    pub(super) async fn resume(&self, name: &str, out: &ResponseSink) -> Result<(), Refusal> {
        // Says what there is, if there is nothing of that name.
        self.named(name)?;
        let snapshot = self.0.registry.snapshot();
        let of_name = snapshot.instances.values().filter(|one| one.name == name || one.plugin.manifest.name == name);
        let instances: Vec<String> = of_name.filter(|one| one.record.pardon()).map(|one| one.name.clone()).collect();
        for name in &instances {
            tracing::info!("{name} is used again: the operator said so");
        }
        if !instances.is_empty() {
            // A channel that did not open while it was set aside is opened now.
            self.0.gateway.reconcile().await;
        }
        out.send(Response::Resumed { instances }).await?;
        Ok(())
    }

    pub(super) async fn log(&self, name: &str, last: usize, follow: bool, out: &ResponseSink) -> Result<(), Refusal> {
        let kept = &self.0.registry.host().services.said;
        let mut news = kept.news();
        // A file that never worked has no name but its own.
        let lines = kept.of(name, 0, last);
        if lines.is_empty() {
            self.plugin(name)?;
        }
        let mut seen = lines.last().map_or(0, |line| line.number);
        for line in lines {
            out.send(Response::Said(said(line))).await?;
        }
        if !follow {
            return Ok(());
        }
        loop {
            tokio::select! {
                () = out.gone().cancelled() => break,
                () = self.0.quit.cancelled() => break,
                changed = news.changed() => if changed.is_err() { break },
            }
            for line in kept.of(name, seen, usize::MAX) {
                seen = line.number;
                out.send(Response::Said(said(line))).await?;
            }
        }
        Ok(())
    }
}
