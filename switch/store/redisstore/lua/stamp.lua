-- Tells this server's clock, which the stamp carries.
return { stamp, 'ok' }
