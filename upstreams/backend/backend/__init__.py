import pymysql

# Django's MySQL backend asks for MySQLdb; PyMySQL is the same interface in Python, with nothing to compile.
pymysql.install_as_MySQLdb()
