//! Rate, errors and duration as each balancer counts them: at its two faces, and of every instance that
//! it sends to. The web tier's are those of the nginx instances, the app tier's those of the application.
//!
//! The label that names an instance is `id`, because `instance` is Prometheus' own.

use super::{Exposition, Histogram, Labels};
use stoa_model::InstanceId;
use stoa_model::control::{DURATION_BOUNDS_MS, Queue, Report, Traffic};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The names of one subject's metrics.
struct Names {
    requests: &'static str,
    broken: &'static str,
    retried: &'static str,
    duration: &'static str,
    duration_help: &'static str,
}

const FACE: Names = Names {
    requests: "stoa_face_requests_total",
    broken: "stoa_face_broken_total",
    retried: "stoa_face_retried_total",
    duration: "stoa_face_request_duration_seconds",
    duration_help: "Time from the head of the request to the end of the answer.",
};

const INSTANCE: Names = Names {
    requests: "stoa_instance_requests_total",
    broken: "stoa_instance_broken_total",
    retried: "stoa_instance_retried_total",
    duration: "stoa_instance_request_duration_seconds",
    duration_help: "Time the instance took to answer, without what the request waited before.",
};

impl Exposition {
    /// Adds what `balancer` reports.
    pub fn balancer(&mut self, balancer: InstanceId, report: &Report) {
        let name = balancer.to_string();
        let labels = [("balancer", name.as_str())];
        let help = "The generation of routes that the balancer serves by.";
        self.gauge("stoa_balancer_generation", help, &labels, report.serving.0);
        for (face, traffic) in [("web", &report.web_face), ("app", &report.app_face)] {
            let labels = [("balancer", name.as_str()), ("face", face)];
            self.traffic(&FACE, &labels, traffic);
            let help = "Open connections of visitors (face web) and of nginx (face app).";
            self.gauge("stoa_face_connections", help, &labels, traffic.connections);
        }
        self.queue(&[("balancer", name.as_str()), ("face", "app")], &report.app_queue);
        for (instance, upstream) in &report.instances {
            let id = instance.to_string();
            let labels = [("balancer", name.as_str()), ("tier", instance.tier.word()), ("id", id.as_str())];
            self.traffic(&INSTANCE, &labels, &upstream.traffic);
            let help = "Requests and tunnels that the instance holds now.";
            self.gauge("stoa_instance_in_flight", help, &labels, upstream.in_flight);
            let help = "Tunnels (WebSockets and the like) among them.";
            self.gauge("stoa_instance_tunnels", help, &labels, upstream.tunnels);
            let help = "1 while the balancer sends nothing to the instance because it failed.";
            self.gauge("stoa_instance_ejected", help, &labels, upstream.ejected.is_some());
        }
    }

    fn queue(&mut self, labels: Labels<'_>, queue: &Queue) {
        let help = "Requests that arrived, whether they waited for an instance or not.";
        self.counter("stoa_face_arrived_total", help, labels, queue.arrived);
        self.gauge("stoa_face_waiting", "Requests that wait for an instance now.", labels, queue.waiting);
        let help = "Time that requests have waited for an instance.";
        self.counter("stoa_face_waited_seconds_total", help, labels, queue.waited_us as f64 / 1e6);
        let help = "Requests refused at once with 503 because too many waited.";
        self.counter("stoa_face_shed_total", help, labels, queue.shed);
    }

    fn traffic(&mut self, names: &Names, labels: Labels<'_>, traffic: &Traffic) {
        for (class, count) in CLASSES.iter().zip(traffic.status) {
            let labels: Vec<_> = labels.iter().copied().chain([("class", *class)]).collect();
            self.counter(names.requests, "Answered requests by class of status.", &labels, count);
        }
        self.counter(names.broken, "Requests that never got an answer.", labels, traffic.broken);
        self.counter(names.retried, "Requests sent again to another instance.", labels, traffic.retried);
        let bounds = DURATION_BOUNDS_MS.map(|bound| bound as f64 / 1000.0);
        let sum = traffic.duration_sum_us as f64 / 1e6;
        let histogram = Histogram { bounds: &bounds, counts: &traffic.durations, sum };
        self.histogram(names.duration, names.duration_help, labels, histogram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stoa_model::control::UpstreamReport;
    use stoa_model::{Generation, Tier};

    #[test]
    fn a_balancers_report() {
        let mut durations = [0; DURATION_BOUNDS_MS.len() + 1];
        (durations[0], durations[3], durations[14]) = (90, 9, 1);
        let web = Traffic {
            status: [0, 97, 1, 1, 1],
            broken: 2,
            retried: 3,
            connections: 32,
            durations,
            duration_sum_us: 31_500_000,
        };
        let app = UpstreamReport {
            in_flight: 4,
            tunnels: 3,
            ejected: Some("connection refused".to_owned()),
            traffic: Traffic { status: [0, 10, 0, 0, 0], ..Traffic::default() },
        };
        let report = Report {
            serving: Generation(7),
            instances: [(InstanceId::new(Tier::App, 1), app)].into(),
            web_face: web,
            app_face: Traffic::default(),
            app_queue: Queue { arrived: 100, waiting: 2, waited_us: 1_250_000, shed: 5 },
            sql: None,
        };
        let mut metrics = Exposition::new();
        metrics.balancer(InstanceId::new(Tier::Balancer, 1), &report);
        insta::assert_snapshot!(metrics.finish());
    }
}
