//! The platform's configuration, its TDX module, and which platform it is.

use tiltyard_attestation::Hex;

use super::{Base, Draft, TdxVariant};
use crate::hostile::variant;
use crate::intel::sgx::Configuration;
use crate::intel::tcb_info::MODULE_SVN;

pub(super) const VARIANTS: &[TdxVariant] = &[
    variant!(Base::V4; "dynamic-platform" "C1" Strict Tdx11 PlatformFlag
        Signed(|draft| configured(draft, |flags| flags.dynamic_platform = true));
        "packages can be added to the platform, which the charter does not name"),
    variant!(Base::V4; "cached-keys" "C1" Strict Tdx11 PlatformFlag
        Signed(|draft| configured(draft, |flags| flags.cached_keys = true));
        "Intel's registration service keeps the platform's keys, which the charter does not name"),
    variant!(Base::V4; "smt-on-under-strict" "T5" Strict Tdx11 PlatformFlag
        Signed(|draft| configured(draft, |flags| flags.smt_enabled = true));
        "threads share a core, which the charter does not name"),
    variant!(Base::V5Td15; "module-svn-low" "T9" Lab Tdx12 TdxModule
        Signed(|draft| draft.td.quote.report.tee_tcb_svn[0] = MODULE_SVN);
        "the TD was launched by a module that Intel calls up to date and the charter does not"),
    variant!(Base::V5Td15; "module-now-svn-low" "T9" Lab Tdx12 TdxModule
        Signed(|draft| draft.td.quote.report.tee_tcb_svn2[0] = MODULE_SVN);
        "such a module runs now"),
    variant!(Base::V4; "mrseam-unlisted" "T9" Lab Tdx12 TdxModule
        Signed(|draft| draft.td.quote.report.mrseam[0] ^= 1);
        "a module of the right version that the charter does not list"),
    variant!(Base::V4; "mrsigner-seam-set" "T9" Lab Tdx12 TdxModule
        Signed(|draft| draft.td.quote.report.mrsignerseam[47] = 1);
        "a module that Intel did not sign"),
    variant!(Base::V4; "seam-attributes-set" "T9" Lab Tdx12 TdxModule
        Signed(|draft| draft.td.quote.report.seam_attributes = 1);
        "a module with attributes, such as one for debugging"),
    variant!(Base::V4; "ppid-unlisted" "C1" Lab Tdx19 UnknownPlatform Signed(unlisted);
        "a genuine machine of the adversary's answers, which is not enrolled"),
    variant!(Base::V4; "platform-revoked" "T8" Lab Tdx19 PlatformRevoked Signed(revoked);
        "the machine was taken off the list an hour ago"),
];

fn configured(draft: &mut Draft, edit: fn(&mut Configuration)) {
    draft.td.pki.sgx().configuration.iter_mut().for_each(edit);
}

fn unlisted(draft: &mut Draft) {
    draft.expected.platforms.iter_mut().for_each(|row| row.id = Hex([1; 16]).into());
}

fn revoked(draft: &mut Draft) {
    let an_hour_ago = draft.expected.now - 3_600;
    draft.expected.platforms.iter_mut().for_each(|row| row.revoked_at = Some(an_hour_ago));
}
