//! NVIDIA's devices and reference manifests.

use std::collections::BTreeMap;

use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::result::DeviceFacts;
use tiltyard_attestation::{CheckId, Code, Verdict};

use super::{Paragraph, root_of};
use crate::appraise::examined::Examined;
use crate::appraise::table::value;
use crate::date::utc;

/// Devices whose reports are authentic, chains without a report, and manifests without a device.
pub(super) fn paragraphs(examined: &Examined) -> Vec<Paragraph> {
    [reports(examined), chains(examined), manifests(examined)].into_iter().flatten().collect()
}

fn submods(examined: &Examined) -> Vec<&str> {
    [examined.parts("gpu"), examined.parts("nvswitch")].concat()
}

fn submod(device: &DeviceFacts) -> String {
    match device.kind {
        DeviceKind::Gpu => format!("gpu{}", device.index),
        DeviceKind::Switch => format!("nvswitch{}", device.index),
    }
}

fn reports(examined: &Examined) -> Option<Paragraph> {
    let devices = &examined.examination.facts.devices;
    if devices.is_empty() {
        return None;
    }
    let mut sentences: Vec<String> = devices.iter().map(|device| one(device, examined)).collect();
    let shown: Vec<String> = devices.iter().map(submod).collect();
    // A device of another kind than its report has no facts; one that was refused has none either.
    for submod in submods(examined).into_iter().filter(|submod| !shown.iter().any(|shown| shown == submod)) {
        let failures = examined.failures(submod);
        if !failures.is_empty() {
            sentences
                .push(format!("{submod} was refused ({}): nothing that it says counts", failures.join(", ")));
        }
    }
    sentences.extend(listed_twice(devices));
    sentences.push(
        "A device's report does not show whether its confidential mode is on: only a measured guest that read the mode and \
         bound it into its own evidence does"
            .to_owned(),
    );
    Some(Paragraph { title: "NVIDIA devices", text: sentences.join(". ") + "." })
}

/// GPU-15: reports are no count of devices.
fn listed_twice(devices: &[DeviceFacts]) -> Option<String> {
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for device in devices {
        by_id.entry(format!("{:?}", device.ueid)).or_default().push(submod(device));
    }
    let same: Vec<String> =
        by_id.into_values().filter(|names| names.len() > 1).map(|names| names.join(", ")).collect();
    (!same.is_empty()).then(|| {
        format!(
            "One and the same device is listed several times ({}): there are fewer devices than reports",
            same.join("; ")
        )
    })
}

fn one(device: &DeviceFacts, examined: &Examined) -> String {
    let submod = submod(device);
    let kind = match device.kind {
        DeviceKind::Gpu => "GPU",
        DeviceKind::Switch => "switch",
    };
    let software = match device.driver.as_str() {
        "" => format!("BIOS {}", device.vbios),
        driver => format!("driver {driver}, VBIOS {}", device.vbios),
    };
    let key = match examined.passed(&submod, &[CheckId::Gpu04, CheckId::Gpu05]) {
        true => "a key that only this device at this firmware holds",
        false => {
            "the key of its certificate; its report names no firmware, so at which firmware is not shown"
        }
    };
    let failures = examined.failures(&submod);
    let refused = match failures.is_empty() {
        true => String::new(),
        false => format!("; it is refused all the same ({})", failures.join(", ")),
    };
    format!(
        "{submod}, a {:?} {kind} ({software}), signed its report with {key}; {}{refused}",
        device.architecture,
        matched(device, &submod, examined)
    )
}

/// GPU-09 and GPU-10: which reference values, and how many of them are the device's.
fn matched(device: &DeviceFacts, submod: &str, examined: &Examined) -> String {
    let other_version = match examined.failed(submod, CheckId::Gpu09) {
        Some(Code::RimVersionMismatch) => {
            ", but the manifest that was given is of another version than the device's software, so that says nothing"
        }
        _ => "",
    };
    let count = device.matched;
    let differing = examined.row(submod, CheckId::Gpu10).filter(|row| row.verdict == Verdict::Fail);
    let partly = match examined.verdict(submod, CheckId::Gpu09) {
        Some(Verdict::Pass) => "",
        _ if other_version.is_empty() && count > 0 => "; not every manifest of its software was there",
        _ => "",
    };
    match (count, differing) {
        (0, None) => "none of its measurements was compared with a reference".to_owned(),
        (count, None) => format!(
            "{count} of its measurements equal the manifest's reference values and none differs{other_version}{partly}"
        ),
        (count, Some(row)) => format!(
            "{count} of its measurements equal the manifest's reference values and others differ ({}){other_version}",
            value(&row.got)
        ),
    }
}

/// Devices of which the certificates hold, and no report does.
fn chains(examined: &Examined) -> Option<Paragraph> {
    let shown: Vec<String> = examined.examination.facts.devices.iter().map(submod).collect();
    let (with_report, alone): (Vec<&str>, Vec<&str>) = submods(examined)
        .into_iter()
        .filter(|submod| {
            examined.passed(submod, &[CheckId::Gpu03]) && !shown.iter().any(|shown| shown == submod)
        })
        .partition(|submod| examined.row(submod, CheckId::Gpu01).is_some());
    let mut sentences = vec![format!(
        "The certificates of {} chain to {} and are valid as of {}",
        [with_report.as_slice(), &alone].concat().join(", "),
        root_of(examined, "NVIDIA"),
        utc(examined.examination.at)
    )];
    if !alone.is_empty() {
        sentences.push(
            "Certificates without a report say that such a device was made, and nothing of its state"
                .to_owned(),
        );
    }
    if !with_report.is_empty() {
        sentences.push(format!(
            "The report of {} is refused, so nothing that it says counts",
            with_report.join(", ")
        ));
    }
    (sentences.len() > 1)
        .then(|| Paragraph { title: "Certificates of NVIDIA devices", text: sentences.join(". ") + "." })
}

/// Manifests by themselves.
fn manifests(examined: &Examined) -> Option<Paragraph> {
    const AUTHENTIC: [CheckId; 4] = [CheckId::Rim01, CheckId::Rim02, CheckId::Rim03, CheckId::Rim04];
    let authentic: Vec<&str> =
        examined.parts("rim").into_iter().filter(|rim| examined.passed(rim, &AUTHENTIC)).collect();
    (!authentic.is_empty()).then(|| Paragraph {
        title: "Reference manifests",
        text: format!(
            "{}: authentic, signed under {} by certificates that are valid as of {}. No device was given to compare with.",
            authentic.join(", "),
            root_of(examined, "NVIDIA"),
            utc(examined.examination.at)
        ),
    })
}
