from scenes import photo

__all__ = ["photo"]
