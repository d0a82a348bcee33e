//! Rollcall: generated messages, services, descriptor set and field checks of the public interface.
