// The network tools of programs/ as a C programmer writes them, with the same maps: what bench/net.ts measures them against.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct counter {
	__u64 packets;
	__u64 bytes;
};

/* ---- xdp-firewall ---- */
struct vlan {
	__be16 tci;
	__be16 proto;
};
struct key4 {
	__u32 length;
	__be32 address;
};
struct key6 {
	__u32 length;
	struct in6_addr address;
};
struct rule {
	__u32 verdict;
	__u32 counter;
};
enum { NO_RULE, OTHER_PROTOCOL, UNREADABLE };

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key4);
	__type(value, struct rule);
	__uint(max_entries, 16384);
} rules4 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key6);
	__type(value, struct rule);
	__uint(max_entries, 16384);
} rules6 SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, 16384);
} rule_counters SEC(".maps");
__u32 otherwise = XDP_PASS;

static __always_inline int counted(void *map, __u32 counter, struct xdp_md *ctx, int verdict)
{
	struct counter *c = bpf_map_lookup_elem(map, &counter);

	if (c) {
		c->packets++;
		c->bytes += ctx->data_end - ctx->data;
	}
	return verdict;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = at;
	struct rule *rule;
	__be16 type;

	at = eth + 1;
	if (at > end)
		return counted(&rule_counters, UNREADABLE, ctx, XDP_DROP);
	type = eth->h_proto;
	for (int i = 0; i < 2; i++) {
		struct vlan *tag = at;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		at = tag + 1;
		if (at > end)
			return counted(&rule_counters, UNREADABLE, ctx, XDP_DROP);
		type = tag->proto;
	}
	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;
		struct key4 key = { .length = 32 };

		if ((void *)(ip + 1) > end)
			return counted(&rule_counters, UNREADABLE, ctx, XDP_DROP);
		key.address = ip->saddr;
		rule = bpf_map_lookup_elem(&rules4, &key);
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at;
		struct key6 key = { .length = 128 };

		if ((void *)(ip + 1) > end)
			return counted(&rule_counters, UNREADABLE, ctx, XDP_DROP);
		key.address = ip->saddr;
		rule = bpf_map_lookup_elem(&rules6, &key);
	} else if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD)) {
		return counted(&rule_counters, UNREADABLE, ctx, XDP_DROP);
	} else {
		return counted(&rule_counters, OTHER_PROTOCOL, ctx, XDP_PASS);
	}
	if (!rule)
		return counted(&rule_counters, NO_RULE, ctx, otherwise);
	return counted(&rule_counters, rule->counter, ctx, rule->verdict);
}

/* ---- xdp-lb ---- */
struct endpoint {
	__be32 address;
	__be16 port;
	__u16 protocol;
};
struct service {
	__u32 first;
	__u32 size;
};
struct backend {
	__be32 address;
	__be16 port;
	__u8 mac[6];
	__u8 own_mac[6];
	__u16 pad;
	__u32 ifindex;
};
struct tuple {
	__be32 src;
	__be32 dst;
	__be16 source;
	__be16 dest;
	__u32 protocol;
};
struct flow {
	__be32 src;
	__be32 dst;
	__be16 source;
	__be16 dest;
	__u16 ip_sum;
	__u16 sum;
	__u8 eth_dst[6];
	__u8 eth_src[6];
	__u32 ifindex;
	__u32 counter;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct endpoint);
	__type(value, struct service);
	__uint(max_entries, 256);
} services SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 65536);
} table SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct backend);
	__uint(max_entries, 1024);
} backends SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 256);
} devices SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct tuple);
	__type(value, struct flow);
	__uint(max_entries, 131072);
} flows SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct counter);
	__uint(max_entries, 2048);
} counters SEC(".maps");

static __always_inline __u32 fold(__u32 sum)
{
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u16 changed(__u16 checksum, __u16 by)
{
	return ~fold((__u32)(__u16)~checksum + by);
}

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *ports = (void *)(ip + 1);
	struct tuple tuple = {};
	struct flow *flow;

	if ((void *)ports + 4 > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (*(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	tuple.src = ip->saddr;
	tuple.dst = ip->daddr;
	tuple.source = ports->source;
	tuple.dest = ports->dest;
	tuple.protocol = ip->protocol;
	flow = bpf_map_lookup_elem(&flows, &tuple);
	if (!flow) {
		struct endpoint to = { ip->daddr, ports->dest, ip->protocol };
		struct service *service = bpf_map_lookup_elem(&services, &to);
		struct flow there = {}, back = {};
		struct tuple answer = {};
		struct backend *backend;
		__u32 mixed, slot, number, *entry, ip_sum, sum;

		if (!service)
			return XDP_PASS;
		mixed = (ip->saddr ^ (ports->source * 0x9e3779b1)) * 0x85ebca6b;
		slot = service->first + (mixed ^ (mixed >> 15)) % service->size;
		entry = bpf_map_lookup_elem(&table, &slot);
		if (!entry)
			return XDP_ABORTED;
		number = *entry;
		backend = bpf_map_lookup_elem(&backends, &number);
		if (!backend)
			return XDP_ABORTED;
		ip_sum = fold(fold(fold(~ip->daddr) + fold(backend->address)));
		sum = fold(fold(ip_sum + (__u16)~ports->dest + backend->port));
		answer.src = backend->address;
		answer.dst = ip->saddr;
		answer.source = backend->port;
		answer.dest = ports->source;
		answer.protocol = ip->protocol;
		back.src = ip->daddr;
		back.dst = ip->saddr;
		back.source = ports->dest;
		back.dest = ports->source;
		back.ip_sum = ~ip_sum;
		back.sum = ~sum;
		__builtin_memcpy(back.eth_dst, eth->h_source, 6);
		__builtin_memcpy(back.eth_src, eth->h_dest, 6);
		back.ifindex = ctx->ingress_ifindex;
		back.counter = number * 2 + 1;
		bpf_map_update_elem(&flows, &answer, &back, BPF_ANY);
		there.src = ip->saddr;
		there.dst = backend->address;
		there.source = ports->source;
		there.dest = backend->port;
		there.ip_sum = ip_sum;
		there.sum = sum;
		__builtin_memcpy(there.eth_dst, backend->mac, 6);
		__builtin_memcpy(there.eth_src, backend->own_mac, 6);
		there.ifindex = backend->ifindex;
		there.counter = number * 2;
		bpf_map_update_elem(&flows, &tuple, &there, BPF_ANY);
		flow = bpf_map_lookup_elem(&flows, &tuple);
		if (!flow)
			return XDP_ABORTED;
	}
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)ports;

		if ((void *)&tcp->check + 2 > end)
			return XDP_DROP;
		tcp->check = changed(tcp->check, flow->sum);
	} else {
		if ((void *)(ports + 1) > end)
			return XDP_DROP;
		if (ports->check) {
			__u16 check = changed(ports->check, flow->sum);

			ports->check = check ? check : 0xffff;
		}
	}
	ip->check = changed(ip->check, flow->ip_sum);
	ip->saddr = flow->src;
	ip->daddr = flow->dst;
	ports->source = flow->source;
	ports->dest = flow->dest;
	__builtin_memcpy(eth->h_dest, flow->eth_dst, 6);
	__builtin_memcpy(eth->h_source, flow->eth_src, 6);
	counted(&counters, flow->counter, ctx, 0);
	return bpf_redirect_map(&devices, flow->ifindex, XDP_DROP);
}

/* ---- tc-shaper ---- */
struct host {
	__be32 words[4];
};
struct bucket {
	__u64 due;
	__u64 passed;
	__u64 passed_bytes;
	__u64 dropped;
	__u64 dropped_bytes;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct host);
	__type(value, struct bucket);
	__uint(max_entries, 65536);
} buckets SEC(".maps");
const volatile _Bool pace, per_host = 1;
__u64 cost_q20, burst_ns;

SEC("tc")
int shaper(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct host host = {};
	struct bucket *bucket;
	__u64 length, cost, now, deepest;

	if (per_host) {
		struct iphdr *ip = (void *)(eth + 1);
		struct ipv6hdr *ip6 = (void *)(eth + 1);

		if ((void *)(ip + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP)) {
			host.words[2] = bpf_htonl(0xffff);
			host.words[3] = ip->daddr;
		}
		if ((void *)(ip6 + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IPV6))
			__builtin_memcpy(&host, &ip6->daddr, sizeof(host));
	}
	bucket = bpf_map_lookup_elem(&buckets, &host);
	if (!bucket) {
		struct bucket empty = {};

		bpf_map_update_elem(&buckets, &host, &empty, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &host);
		if (!bucket)
			return TC_ACT_OK;
	}
	length = skb->wire_len;
	cost = (length * cost_q20) >> 20;
	now = bpf_ktime_get_ns();
	deepest = burst_ns;
	if (pace)
		deepest += 2000000000ULL;
	for (int i = 0; i < 16; i++) {
		__u64 due = bucket->due;
		__u64 start = due > now ? due : now;

		if (start - now > deepest)
			break;
		if (__sync_val_compare_and_swap(&bucket->due, due, start + cost) == due) {
			__sync_fetch_and_add(&bucket->passed, 1);
			__sync_fetch_and_add(&bucket->passed_bytes, length);
			if (pace && start - now > burst_ns)
				skb->tstamp = start - burst_ns;
			return TC_ACT_UNSPEC;
		}
	}
	__sync_fetch_and_add(&bucket->dropped, 1);
	__sync_fetch_and_add(&bucket->dropped_bytes, length);
	return TC_ACT_SHOT;
}
