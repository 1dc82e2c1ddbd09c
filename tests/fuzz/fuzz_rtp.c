/* A datagram as RTP with its event, and as compound RTCP. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "bridge/rtcp.h"
#include "bridge/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void packet(const uint8_t *data, size_t size)
{
    struct rtp p, again;
    struct rtp_event e;
    uint8_t buf[RTP_HEADER_LEN];
    int err = rtp_decode(&p, data, size);

    need(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED);
    if (err)
        return;
    need(p.payload >= data + RTP_HEADER_LEN && p.payload + p.len <= data + size);
    rtp_header(buf, &p);
    need(rtp_decode(&again, buf, sizeof(buf)) == 0 && again.len == 0);
    need(again.type == p.type && again.marker == p.marker && again.seq == p.seq && again.timestamp == p.timestamp &&
         again.ssrc == p.ssrc);
    err = rtp_event_decode(&e, p.payload, p.len);
    need(err == 0 || (err == ERR_TRUNCATED && p.len < RTP_EVENT_LEN));
}

static void compound(const uint8_t *data, size_t size)
{
    static struct rtcp_source source;
    struct wire w = wire_over(data, size);
    struct rtcp r;
    int n;

    while ((n = rtcp_next(&w, &r)) == 1) {
        for (unsigned i = 0; i < r.nblocks; i++) {
            struct rtcp_block b = rtcp_block_at(&r, i);
            double rtt = rtcp_rtt(&b, r.ntp);
            need(b.lost >= -0x800000 && b.lost <= 0x7FFFFF && rtt <= 60);
            rtcp_source_packet(&source, b.ssrc % 2, (uint16_t)b.highest, b.jitter, b.dlsr, true);
        }
        if (r.type == RTCP_SR)
            rtcp_source_sr(&source, &r, r.ntp);
    }
    need(n == 0 || n == ERR_TRUNCATED || n == ERR_MALFORMED);
    if (source.started) {
        struct rtcp_block b;
        need(rtcp_source_block(&source, 0, &b) && source.jitter >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    packet(data, size);
    compound(data, size);
    return 0;
}
