"""How EC2 spells GPUs. Pure."""


def aws_gpu(name: str, memory_mib: int) -> str:
    """Return the canonical name of a GPU as `DescribeInstanceTypes` spells it; memory separates variants."""
    short = name.upper().replace(" ", "")
    if short == "A100":
        return "A100-80GB" if memory_mib > 60_000 else "A100-40GB"  # noqa: PLR2004  between the two sizes
    if short == "V100" and memory_mib > 20_000:  # noqa: PLR2004  between the two sizes
        return "V100-32GB"
    if short.startswith("RTXPROSERVER6000"):
        return "RTXPRO6000"
    return short
