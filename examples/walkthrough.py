# ruff: noqa: D100 - the first cell is the page's text
# %% [markdown]
# # A first hour with hwsim
#
# From one matrix product, whose time can be worked out by hand, to a network and to a better machine for
# it. Each block is Python that you can run; below it stands what it prints.

# %%
import hwsim

# %% [markdown]
# ## A product whose time is known
#
# `systolic_plain` is an array of 128 x 128 multipliers with nothing that could hold it up: memories are
# unlimited, and a tile begins when the one before has left. Weights sit still in it. A product of 512 rows by
# 300 columns, 400 deep, is cut into `ceil(400/128) * ceil(300/128)` = 12 tiles of weights. Each takes 128
# cycles to shift in and 512 for the rows that stream through, and the last row needs `128 + 128 - 2` more to
# cross the array.

# %%
product = hwsim.matmul(m=512, n=300, k=400)
result = hwsim.run(product, "systolic_plain")
print("simulated:", result.cycles, "cycles")
print("by hand:  ", 12 * (128 + 512 + 128 + 128 - 2))

# %% [markdown]
# ## The same on a real machine
#
# The TPU v1 fetches its weights from DDR3 at 34 GB/s. A tile of 256 x 256 bytes takes 1,349 cycles to
# arrive, and with few rows to multiply the array has nothing to do meanwhile. `stalls` says where the
# time went; the shares add up to one.

# %%
result = hwsim.run(hwsim.matmul(m=8, n=2048, k=2048), "tpu_v1")
print(f"{result.latency_s * 1e6:.1f} us, {result.utilization:.1%} of peak, limited by {result.limit}")
for cause, share in result.stalls.items():
    if share >= 0.005:
        print(f"  {cause:<13}{share:6.1%}")

# %% [markdown]
# ## When the array becomes the limit
#
# Weights that have arrived serve every row, and 1,349 rows keep the array busy for as long as the next tile
# is on its way: with fewer the memory is the limit, with more the array. To see only those two, the host link
# is made unlimited. An override names a field as the design's file does.

# %%
for m in (8, 64, 512, 1024, 2048, 4096):
    product = hwsim.matmul(m=m, n=2048, k=2048)
    result = hwsim.run(product, "tpu_v1", overrides=["host_link.bandwidth=unlimited"])
    busy = result.busy_share
    print(
        f"{m:>5} rows  {result.utilization:6.1%} of peak   array {busy['array']:4.0%} busy, "
        f"memory {busy['weight_memory']:4.0%}   -> {result.limit}"
    )

# %% [markdown]
# Two things end this. A product on its own has all its operands from the host and sends all its results back.
# And at 8,192 rows both no longer fit the 24 MiB on the chip: what does not fit is spilled to memory.

# %%
result = hwsim.run(hwsim.matmul(m=4096, n=2048, k=2048), "tpu_v1")
print(f"4096 rows with the host link: {result.utilization:.1%} of peak   -> {result.limit}")
product = hwsim.matmul(m=8192, n=2048, k=2048)
result = hwsim.run(product, "tpu_v1", overrides=["host_link.bandwidth=unlimited"])
print(f"8192 rows without:            {result.utilization:.1%} of peak   -> {result.limit}")
print("spilled:", *result.spilled)

# %% [markdown]
# ## A network
#
# A network is a graph of such operators. What one leaves in the buffer on the chip, the next one finds there.

# %%
result = hwsim.run("resnet50", "tpu_v1")
timing = result.timing
print(f"{result.latency_s * 1e6:.0f} us, {result.energy_j * 1e3:.2f} mJ, limited by {result.limit}")
heaviest = sorted(range(len(timing.names)), key=lambda i: -timing.elapsed_ps[i])[:5]
for i in heaviest:
    print(f"  {timing.names[i]:<24}{timing.elapsed_ps[i] / 1e6:6.1f} us   {timing.limits[i]}")

# %% [markdown]
# ## What would help
#
# The layers at the end have many weights for few rows. A faster memory and a larger batch both feed the array
# better.

# %%
for batch, bandwidth in ((1, "34 GB/s"), (1, "180 GB/s"), (8, "34 GB/s"), (8, "180 GB/s")):
    result = hwsim.run("resnet50", "tpu_v1", batch=batch, overrides=[f"weight_memory.bandwidth={bandwidth}"])
    print(
        f"batch {batch}, {bandwidth:>8}: {result.throughput_per_s:5,.0f} images/s, "
        f"{result.energy_j / batch * 1e3:.2f} mJ an image, limited by {result.limit}"
    )

# %% [markdown]
# ## Are the numbers right?
#
# The schedule that was timed can be executed, tile by tile, in the machine's own number format. A
# reference that knows no tiles computes the same layers, and the two are compared.

# %%
checked = hwsim.verify("lenet5", "tpu_v1")
print(checked.verdict)
for name, tiles, exact in zip(checked.names, checked.tiles, checked.exact, strict=True):
    print(f"  {name:<9}{tiles} tile{'s' if tiles > 1 else ''}, {'exact' if exact else 'within its bound'}")

# %% [markdown]
# ## What the result does not say
#
# Every result lists what was left out of it.

# %%
for sentence in hwsim.run("resnet50", "tpu_v1").provenance.unmodelled:
    print("-", sentence)
