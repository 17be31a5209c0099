use super::*;

#[test]
fn waits_grow_are_spread_and_end_with_the_turns_time() {
    let busy = ProviderError::Overloaded("busy".into());
    let left = Duration::from_secs(100);
    let ms = |ms| Step::Retry(Duration::from_millis(ms));
    let steps: Vec<Step> = (0..4).map(|tries| step(&busy, tries, 0, left)).collect();
    assert_eq!(steps, [ms(500), ms(1_000), ms(2_000), Step::Fallback]);
    assert_eq!(step(&busy, 0, 128, left), ms(625));
    assert_eq!(step(&busy, 0, 0, Duration::from_millis(400)), Step::Fallback);
    assert_eq!(step(&ProviderError::RateLimited(Some(7_000)), 2, 255, left), ms(7_000));
}

#[test]
fn a_provider_that_is_set_aside_is_not_asked_again() {
    let aside = ProviderError::SetAside("it broke".into());
    assert_eq!(step(&aside, 0, 0, Duration::from_secs(100)), Step::Fallback);
}

#[test]
fn jitter_differs_between_turns_and_tries() {
    let all: std::collections::HashSet<u8> =
        (0..8).flat_map(|n| [jitter(&format!("turn {n}"), 0), jitter(&format!("turn {n}"), 1)]).collect();
    assert!(all.len() > 8);
}
