/* Not built: listed nowhere. */
