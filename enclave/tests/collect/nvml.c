/* Stands for NVIDIA's management library in tests: the few calls that collection makes, each as a definition says. */
#include <string.h>

#ifndef GPUS
#define GPUS 1
#endif
#ifndef CC
#define CC 1
#endif
#ifndef DEVTOOLS
#define DEVTOOLS 0
#endif
#ifndef MULTIGPU
#define MULTIGPU 0
#endif
#ifndef REPORT_LEN
#define REPORT_LEN 4117
#endif
#ifndef CHAIN_LEN
#define CHAIN_LEN 4096
#endif
/* What the calls return; zero is success. */
#ifndef INIT
#define INIT 0
#endif
#ifndef COUNT
#define COUNT 0
#endif
#ifndef SETTINGS
#define SETTINGS 0
#endif
#ifndef REPORT
#define REPORT 0
#endif
#ifndef CHAIN
#define CHAIN 0
#endif

struct settings { unsigned version, environment, feature, devtools, multi_gpu; };
struct report {
    unsigned has_cec, len, cec_len;
    unsigned char nonce[32], bytes[8192], cec[4096];
};
struct chain {
    unsigned len, attestation_len;
    unsigned char bytes[4096], attestation[5120];
};

int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned len) {
    strncpy(version, "550.90.07", len);
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
#ifdef CRASH
    *(volatile int *)0 = 0;
#endif
    *count = GPUS;
    return COUNT;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(unsigned long)(index + 1);
    return 0;
}

int nvmlSystemGetConfComputeSettings(struct settings *settings) {
    if (settings->version != (sizeof *settings | 1u << 24)) return 25;
    settings->feature = CC;
    settings->devtools = DEVTOOLS;
    settings->multi_gpu = MULTIGPU;
    return SETTINGS;
}

int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *report) {
    (void)device;
    memcpy(report->bytes, "\x11\xe0\x01\xff", 4);
    memcpy(report->bytes + 4, report->nonce, 32);
    report->len = REPORT_LEN;
    return REPORT;
}

int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct chain *chain) {
    (void)device;
    memset(chain->attestation, '-', sizeof chain->attestation);
    chain->attestation_len = CHAIN_LEN;
    return CHAIN;
}
