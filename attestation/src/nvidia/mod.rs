//! NVIDIA GPUs and NVSwitches: reference manifests (ATTESTATION 6).

pub mod rim;
