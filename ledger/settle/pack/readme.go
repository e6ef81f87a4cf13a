package pack

// ReadmeName is the file that tells a reader how the figures of a pack add up.
const ReadmeName = "README.txt"

// readmeText is in the two languages of the console, with a byte order mark as the tables have.
const readmeText = "\ufeff" + `The pack of a settlement run of one business date.

manifest.json holds the SHA-256 and the rows of every file, and the control totals by currency.
Amounts in JSON and Parquet are minor units (fen); CSV, XLSX and XML show decimals.

Orders (orders.csv, sheet "orders", orders.parquet) ask a bank to move money once.
  held     why an order must not be sent; empty for one to send.
  carries  the number of the order that this one stands for: it was held on a day that is
           certified by now. The number begins with the date and the run of that order. Its money
           is in the net of its own day, not in that of this one. Empty for an order of this day.

The control totals of each currency add up:
  net = ordered_pay - ordered_collect - (carried_pay - carried_collect) + ordered_before
where ordered_* count all lines of the orders, carried_* those with "carries", and ordered_before
is what earlier runs of this date ordered already. debit equals credit.
late and late.csv are the part of gross whose service was on an earlier date: taps that came after
their day was closed are booked on the day that was open, and shown apart.

结算包说明：manifest.json 列出各文件的 SHA-256、行数和分币种控制总额。JSON 与 Parquet 金额单位为分。
orders 的 carries 列为本指令所代替的、原日已签发凭证且当时暂缓的指令号（以其日期和批次开头）；其金额计入
原日净额，不计入本日净额。held 列不为空的指令不得发送。
分币种核对：net = ordered_pay - ordered_collect - (carried_pay - carried_collect) + ordered_before；
debit 等于 credit。late 及 late.csv 为 gross 中服务日早于本日的部分（日终后补传，记入当时开放的营业日）。
`

func readme() []byte { return []byte(readmeText) }
