//! Reading the Prometheus text format.

/// The sum of the samples of `name` that carry all of `labels`. A counter is found with or without `_total`.
///
/// Panics where the text knows no such metric, or none of its samples has a label that is asked for: a test that
/// misspells what it asks for would else take the 0 for an answer.
pub(crate) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = samples(text, name.strip_suffix("_total").unwrap_or(name));
    for (label, _) in labels.iter().filter(|_| !samples.is_empty()) {
        let asked = format!("{label}=\"");
        assert!(
            samples.iter().any(|(of, _)| holds(of, &asked)),
            "the metric {name} has no label {label}"
        );
    }
    let wanted = labels.iter().map(|(label, value)| format!("{label}=\"{value}\""));
    let wanted = wanted.collect::<Vec<_>>();
    let chosen = samples
        .iter()
        .filter(|(of, _)| wanted.iter().all(|wanted| holds(of, wanted)));
    chosen.map(|(_, value)| value).sum()
}

/// The labels and the value of each sample of a metric; none where the metric is announced without any.
fn samples<'a>(text: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let family = ["_count", "_sum", "_bucket"]
        .iter()
        .find_map(|of| name.strip_suffix(of));
    let family = family.unwrap_or(name);
    let announced = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut announced = announced.filter_map(|line| line.split(' ').next());
    assert!(
        announced.any(|known| known.strip_suffix("_total").unwrap_or(known) == family),
        "there is no metric {name} in\n{text}"
    );
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(series, value)| {
            let (metric, of) = series.split_once('{').unwrap_or((series, ""));
            let is_this = metric.strip_suffix("_total").unwrap_or(metric) == name;
            is_this.then_some((of, value.parse().ok()?))
        });
    samples.collect()
}

/// Whether labels hold this text, at the beginning of one of them.
fn holds(labels: &str, wanted: &str) -> bool {
    labels
        .match_indices(wanted)
        .any(|(at, _)| at == 0 || labels.as_bytes()[at - 1] == b',')
}

#[cfg(test)]
mod tests {
    use super::sum;

    const TEXT: &str = "# TYPE calls counter\ncalls_total{filter=\"a\",phase=\"request\"} 2\n\
        calls_total{filter=\"b\",phase=\"request\"} 3\n# TYPE connections gauge\nconnections 7\n# TYPE empty counter\n";

    #[test]
    fn samples_are_summed_by_their_labels() {
        assert_eq!(sum(TEXT, "calls_total", &[("phase", "request")]), 5.0);
        assert_eq!(sum(TEXT, "calls_total", &[("filter", "b")]), 3.0);
        assert_eq!(sum(TEXT, "connections", &[]), 7.0);
        assert_eq!(sum(TEXT, "calls", &[("filter", "c")]), 0.0);
        assert_eq!(sum(TEXT, "empty_total", &[("filter", "c")]), 0.0);
    }

    #[test]
    #[should_panic(expected = "there is no metric call")]
    fn a_metric_that_is_not_there_is_no_zero() {
        sum(TEXT, "call", &[]);
    }

    #[test]
    #[should_panic(expected = "has no label route")]
    fn a_label_that_no_sample_has_is_no_zero() {
        sum(TEXT, "calls", &[("route", "a")]);
    }
}
